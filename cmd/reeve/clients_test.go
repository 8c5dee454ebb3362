package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonapi"
)

// The types of the demo as users of google/jsonapi declare them.
type (
	decodedUser struct {
		ID              string            `jsonapi:"primary,user"`
		Username        string            `jsonapi:"attr,username"`
		CreatedAt       time.Time         `jsonapi:"attr,created_at,iso8601"`
		LockedAt        *time.Time        `jsonapi:"attr,locked_at,iso8601"`
		CanRequestAdmin bool              `jsonapi:"attr,can_request_admin"`
		SecondFactor    bool              `jsonapi:"attr,second_factor"`
		DeactivatedAt   *time.Time        `jsonapi:"attr,deactivated_at,iso8601"`
		DisplayName     *string           `jsonapi:"attr,display_name"`
		Email           *string           `jsonapi:"attr,email"`
		RegisteredIP    *string           `jsonapi:"attr,registered_ip"`
		LastActiveAt    *time.Time        `jsonapi:"attr,last_active_at,iso8601"`
		Connected       bool              `jsonapi:"attr,connected"`
		Sessions        []*decodedSession `jsonapi:"relation,sessions"`
		Tokens          []*decodedToken   `jsonapi:"relation,tokens"`
		Groups          []*decodedKey     `jsonapi:"relation,groups"`
		Roles           []*decodedGiven   `jsonapi:"relation,roles"`
		Contacts        []*decodedEntry   `jsonapi:"relation,contacts"`
		Authenticators  []*decodedFactor  `jsonapi:"relation,authenticators"`
	}
	decodedAuthenticator struct {
		ID         string       `jsonapi:"primary,authenticator"`
		Kind       string       `jsonapi:"attr,kind"`
		Name       string       `jsonapi:"attr,name"`
		CreatedAt  time.Time    `jsonapi:"attr,created_at,iso8601"`
		LastUsedAt *time.Time   `jsonapi:"attr,last_used_at,iso8601"`
		User       *decodedName `jsonapi:"relation,user"`
	}
	decodedSession struct {
		ID           string           `jsonapi:"primary,session"`
		Kind         string           `jsonapi:"attr,kind"`
		CreatedAt    time.Time        `jsonapi:"attr,created_at,iso8601"`
		LastActiveAt *time.Time       `jsonapi:"attr,last_active_at,iso8601"`
		FinishedAt   *time.Time       `jsonapi:"attr,finished_at,iso8601"`
		LastActiveIP *string          `jsonapi:"attr,last_active_ip"`
		Port         *int64           `jsonapi:"attr,port"`
		Secure       bool             `jsonapi:"attr,secure"`
		Resource     *string          `jsonapi:"attr,resource"`
		UserAgent    *string          `jsonapi:"attr,user_agent"`
		Current      bool             `jsonapi:"attr,current"`
		User         *decodedName     `jsonapi:"relation,user"`
		Client       *decodedClientID `jsonapi:"relation,client"`
	}
	decodedToken struct {
		ID         string          `jsonapi:"primary,token"`
		Name       string          `jsonapi:"attr,name"`
		Scopes     []string        `jsonapi:"attr,scopes"`
		CreatedAt  time.Time       `jsonapi:"attr,created_at,iso8601"`
		LastUsedAt *time.Time      `jsonapi:"attr,last_used_at,iso8601"`
		ExpiresAt  *time.Time      `jsonapi:"attr,expires_at,iso8601"`
		RevokedAt  *time.Time      `jsonapi:"attr,revoked_at,iso8601"`
		Token      *string         `jsonapi:"attr,token"` // in the answer to its creation
		User       *decodedName    `jsonapi:"relation,user"`
		Session    *decodedSession `jsonapi:"relation,session"`
	}
	decodedGroup struct {
		ID          string          `jsonapi:"primary,group"`
		Key         string          `jsonapi:"attr,key"`
		Name        string          `jsonapi:"attr,name"`
		Description *string         `jsonapi:"attr,description"`
		CreatedAt   time.Time       `jsonapi:"attr,created_at,iso8601"`
		Members     []*decodedName  `jsonapi:"relation,members"`
		Roles       []*decodedGiven `jsonapi:"relation,roles"`
		Rooms       []*decodedPlace `jsonapi:"relation,rooms"`
	}
	decodedContact struct {
		ID           string       `jsonapi:"primary,contact"`
		Name         *string      `jsonapi:"attr,name"`
		Subscription string       `jsonapi:"attr,subscription"`
		Ask          *string      `jsonapi:"attr,ask"`
		Groups       []string     `jsonapi:"attr,groups"`
		Manual       bool         `jsonapi:"attr,manual"`
		CreatedAt    time.Time    `jsonapi:"attr,created_at,iso8601"`
		User         *decodedName `jsonapi:"relation,user"`
		Contact      *decodedName `jsonapi:"relation,contact"`
	}
	decodedRoom struct {
		ID        string      `jsonapi:"primary,room"`
		Name      string      `jsonapi:"attr,name"`
		CreatedAt time.Time   `jsonapi:"attr,created_at,iso8601"`
		Group     *decodedKey `jsonapi:"relation,group"`
	}
	decodedPlace struct {
		ID   string `jsonapi:"primary,room"`
		Name string `jsonapi:"attr,name"`
	}
	decodedRole struct {
		ID          string         `jsonapi:"primary,role"`
		Name        string         `jsonapi:"attr,name"`
		Doc         *string        `jsonapi:"attr,doc"`
		Permissions []string       `jsonapi:"attr,permissions"`
		Aliases     []string       `jsonapi:"attr,aliases"`
		BuiltIn     bool           `jsonapi:"attr,built_in"`
		CreatedAt   time.Time      `jsonapi:"attr,created_at,iso8601"`
		Users       []*decodedName `jsonapi:"relation,users"`
		Groups      []*decodedKey  `jsonapi:"relation,groups"`
	}
	decodedPermission struct {
		ID           string   `jsonapi:"primary,permission"`
		Name         string   `jsonapi:"attr,name"`
		ResourceType string   `jsonapi:"attr,resource_type"`
		Verb         string   `jsonapi:"attr,verb"`
		Doc          string   `jsonapi:"attr,doc"`
		Aliases      []string `jsonapi:"attr,aliases"`
	}
	decodedClient struct {
		ID           string            `jsonapi:"primary,client"`
		ClientID     string            `jsonapi:"attr,client_id"`
		Name         string            `jsonapi:"attr,name"`
		AuthMethod   string            `jsonapi:"attr,auth_method"`
		RedirectURIs []string          `jsonapi:"attr,redirect_uris"`
		GrantTypes   []string          `jsonapi:"attr,grant_types"`
		IsStatic     bool              `jsonapi:"attr,is_static"`
		Admin        bool              `jsonapi:"attr,admin"`
		CreatedAt    time.Time         `jsonapi:"attr,created_at,iso8601"`
		Sessions     []*decodedSession `jsonapi:"relation,sessions"`
	}
	decodedModule struct {
		ID       string     `jsonapi:"primary,module"`
		Name     string     `jsonapi:"attr,name"`
		Doc      string     `jsonapi:"attr,doc"`
		Loaded   bool       `jsonapi:"attr,loaded"`
		Core     bool       `jsonapi:"attr,core"`
		Needs    []string   `jsonapi:"attr,needs"`
		Types    []string   `jsonapi:"attr,types"`
		LoadedAt *time.Time `jsonapi:"attr,loaded_at,iso8601"`
		Error    *string    `jsonapi:"attr,error"`
	}
	decodedProvisioning struct {
		ID           string     `jsonapi:"primary,provisioning"`
		Name         string     `jsonapi:"attr,name"`
		Doc          string     `jsonapi:"attr,doc"`
		ResourceType *string    `jsonapi:"attr,resource_type"`
		Resources    int64      `jsonapi:"attr,resources"`
		ChangedAt    *time.Time `jsonapi:"attr,changed_at,iso8601"`
		Error        *string    `jsonapi:"attr,error"`
	}
	decodedType struct {
		ID            string   `jsonapi:"primary,type"`
		Name          string   `jsonapi:"attr,name"`
		Path          string   `jsonapi:"attr,path"`
		Doc           string   `jsonapi:"attr,doc"`
		Singleton     bool     `jsonapi:"attr,singleton"`
		Verbs         []string `jsonapi:"attr,verbs"`
		Permissions   []string `jsonapi:"attr,permissions"`
		Attributes    []any    `jsonapi:"attr,attributes"`
		Relationships []any    `jsonapi:"attr,relationships"`
		Filters       []any    `jsonapi:"attr,filters"`
		Actions       []any    `jsonapi:"attr,actions"`
	}
	decodedEvent struct {
		ID         string           `jsonapi:"primary,event"`
		Position   *int64           `jsonapi:"attr,position"`
		At         time.Time        `jsonapi:"attr,at,iso8601"`
		ActorType  *string          `jsonapi:"attr,actor_type"`
		ActorName  *string          `jsonapi:"attr,actor_name"`
		TargetType *string          `jsonapi:"attr,target_type"`
		Verb       string           `jsonapi:"attr,verb"`
		Changes    map[string]any   `jsonapi:"attr,changes"`
		Count      *int64           `jsonapi:"attr,count"`
		Request    *string          `jsonapi:"attr,request"`
		Address    *string          `jsonapi:"attr,address"`
		Client     *decodedClientID `jsonapi:"relation,client"`
		Session    *decodedSession  `jsonapi:"relation,session"`
		Cause      *decodedCause    `jsonapi:"relation,cause"`
	}
	decodedMessage struct {
		ID         string              `jsonapi:"primary,message"`
		Body       string              `jsonapi:"attr,body"`
		Sender     string              `jsonapi:"attr,sender"`
		CreatedAt  time.Time           `jsonapi:"attr,created_at,iso8601"`
		Sent       int64               `jsonapi:"attr,sent"`
		Queued     int64               `jsonapi:"attr,queued"`
		Recipients []*decodedRecipient `jsonapi:"relation,recipients"`
	}
	decodedRecipient struct {
		ID          string       `jsonapi:"primary,recipient"`
		Status      string       `jsonapi:"attr,status"`
		DeliveredAt *time.Time   `jsonapi:"attr,delivered_at,iso8601"`
		Message     *decodedText `jsonapi:"relation,message"`
		User        *decodedName `jsonapi:"relation,user"`
	}
	decodedBroadcast struct {
		ID             string    `jsonapi:"primary,broadcast"`
		Body           string    `jsonapi:"attr,body"`
		Sender         string    `jsonapi:"attr,sender"`
		CreatedAt      time.Time `jsonapi:"attr,created_at,iso8601"`
		RecipientCount int64     `jsonapi:"attr,recipient_count"`
	}
	decodedJob struct {
		ID            string     `jsonapi:"primary,job"`
		Kind          string     `jsonapi:"attr,kind"`
		Argument      *string    `jsonapi:"attr,argument"`
		State         string     `jsonapi:"attr,state"`
		Scheduled     bool       `jsonapi:"attr,scheduled"`
		CreatedAt     time.Time  `jsonapi:"attr,created_at,iso8601"`
		StartedAt     *time.Time `jsonapi:"attr,started_at,iso8601"`
		FinishedAt    *time.Time `jsonapi:"attr,finished_at,iso8601"`
		ProgressDone  int64      `jsonapi:"attr,progress_done"`
		ProgressTotal *int64     `jsonapi:"attr,progress_total"`
		Rate          *float64   `jsonapi:"attr,rate"`
		Duration      int64      `jsonapi:"attr,duration_ms"`
		Report        []string   `jsonapi:"attr,report"`
		Error         *string    `jsonapi:"attr,error"`
	}
	decodedMe struct {
		ID          string          `jsonapi:"primary,me"`
		Name        string          `jsonapi:"attr,name"`
		Permissions []string        `jsonapi:"attr,permissions"`
		Principal   *decodedName    `jsonapi:"relation,principal"`
		Session     *decodedSession `jsonapi:"relation,session"`
	}
	decodedSetting struct {
		ID           string     `jsonapi:"primary,setting"`
		Name         string     `jsonapi:"attr,name"`
		Section      *string    `jsonapi:"attr,section"`
		Key          string     `jsonapi:"attr,key"`
		Kind         string     `jsonapi:"attr,kind"`
		Doc          string     `jsonapi:"attr,doc"`
		Source       string     `jsonapi:"attr,source"`
		Secret       bool       `jsonapi:"attr,secret"`
		Fixed        bool       `jsonapi:"attr,fixed"`
		NeedsRestart bool       `jsonapi:"attr,needs_restart"`
		ChangedAt    *time.Time `jsonapi:"attr,changed_at,iso8601"`
	}
	decodedAddress struct {
		ID        string    `jsonapi:"primary,allowed-address"`
		Address   string    `jsonapi:"attr,address"`
		Comment   *string   `jsonapi:"attr,comment"`
		Source    string    `jsonapi:"attr,source"`
		CreatedAt time.Time `jsonapi:"attr,created_at,iso8601"`
	}
	decodedServer struct {
		ID        string    `jsonapi:"primary,server"`
		Name      string    `jsonapi:"attr,name"`
		Version   string    `jsonapi:"attr,version"`
		StartedAt time.Time `jsonapi:"attr,started_at,iso8601"`
		Nodes     int64     `jsonapi:"attr,nodes"`
	}
	decodedEncryption struct {
		ID             string `jsonapi:"primary,encryption"`
		PrimaryDataKey int64  `jsonapi:"attr,primary_data_key"`
		DataKeys       int64  `jsonapi:"attr,data_keys"`
	}
	decodedPasswordLink struct {
		ID        string       `jsonapi:"primary,password-link"`
		Purpose   string       `jsonapi:"attr,purpose"`
		CreatedAt time.Time    `jsonapi:"attr,created_at,iso8601"`
		ExpiresAt time.Time    `jsonapi:"attr,expires_at,iso8601"`
		UsedAt    *time.Time   `jsonapi:"attr,used_at,iso8601"`
		URL       *string      `jsonapi:"attr,url"` // in the answer to its creation
		User      *decodedName `jsonapi:"relation,user"`
	}
	decodedRegistrationToken struct {
		ID          string     `jsonapi:"primary,registration-token"`
		Token       string     `jsonapi:"attr,token"`
		Valid       bool       `jsonapi:"attr,valid"`
		UsesAllowed *int64     `jsonapi:"attr,uses_allowed"`
		Pending     int64      `jsonapi:"attr,pending"`
		Completed   int64      `jsonapi:"attr,completed"`
		CreatedAt   time.Time  `jsonapi:"attr,created_at,iso8601"`
		LastUsedAt  *time.Time `jsonapi:"attr,last_used_at,iso8601"`
		ExpiresAt   *time.Time `jsonapi:"attr,expires_at,iso8601"`
		RevokedAt   *time.Time `jsonapi:"attr,revoked_at,iso8601"`
	}
	decodedStats struct {
		ID                string `jsonapi:"primary,stats"`
		Users             int64  `jsonapi:"attr,users"`
		Administrators    int64  `jsonapi:"attr,administrators"`
		ActiveUsersDay    int64  `jsonapi:"attr,active_users_day"`
		ActiveUsers30Days int64  `jsonapi:"attr,active_users_30_days"`
		Sessions          int64  `jsonapi:"attr,sessions"`
		Tokens            int64  `jsonapi:"attr,tokens"`
		Groups            int64  `jsonapi:"attr,groups"`
		Modules           int64  `jsonapi:"attr,modules"`
		Messages          int64  `jsonapi:"attr,messages"`
		WaitingMessages   int64  `jsonapi:"attr,waiting_messages"`
		WaitingJobs       int64  `jsonapi:"attr,waiting_jobs"`
		FailingDeliveries int64  `jsonapi:"attr,failing_webhook_deliveries"`
		Alerts            int64  `jsonapi:"attr,alerts"`
		FiringAlerts      int64  `jsonapi:"attr,firing_alerts"`
		DatabaseBytes     int64  `jsonapi:"attr,database_bytes"`
	}
	decodedReport struct {
		ID       string         `jsonapi:"primary,usage-report"`
		Version  string         `jsonapi:"attr,version"`
		OS       string         `jsonapi:"attr,os"`
		Arch     string         `jsonapi:"attr,arch"`
		Database string         `jsonapi:"attr,database"`
		Modules  []string       `jsonapi:"attr,modules"`
		Metrics  map[string]any `jsonapi:"attr,metrics"`
	}
	decodedWebhook struct {
		ID                    string             `jsonapi:"primary,webhook"`
		URL                   string             `jsonapi:"attr,url"`
		Description           *string            `jsonapi:"attr,description"`
		Events                []string           `jsonapi:"attr,events"`
		CreatedAt             time.Time          `jsonapi:"attr,created_at,iso8601"`
		PausedAt              *time.Time         `jsonapi:"attr,paused_at,iso8601"`
		Failing               bool               `jsonapi:"attr,failing"`
		FailingSince          *time.Time         `jsonapi:"attr,failing_since,iso8601"`
		LastRetryAt           *time.Time         `jsonapi:"attr,last_retry_at,iso8601"`
		RetryInterval         int64              `jsonapi:"attr,retry_interval"`
		NextAttemptAt         *time.Time         `jsonapi:"attr,next_attempt_at,iso8601"`
		LastDeliveredEvent    *int64             `jsonapi:"attr,last_delivered_event"`
		FormerSecretExpiresAt *time.Time         `jsonapi:"attr,former_secret_expires_at,iso8601"`
		Secret                *string            `jsonapi:"attr,secret"` // in the answer to its creation
		Deliveries            []*decodedDelivery `jsonapi:"relation,deliveries"`
		Topics                []*decodedTopic    `jsonapi:"relation,topics"`
	}
	decodedDelivery struct {
		ID            string        `jsonapi:"primary,webhook-delivery"`
		Topic         string        `jsonapi:"attr,topic"`
		State         string        `jsonapi:"attr,state"`
		Attempts      int64         `jsonapi:"attr,attempts"`
		Status        *int64        `jsonapi:"attr,status"`
		Error         *string       `jsonapi:"attr,error"`
		Duration      int64         `jsonapi:"attr,duration_ms"`
		CreatedAt     time.Time     `jsonapi:"attr,created_at,iso8601"`
		LastAttemptAt time.Time     `jsonapi:"attr,last_attempt_at,iso8601"`
		NextAttemptAt *time.Time    `jsonapi:"attr,next_attempt_at,iso8601"`
		Position      int64         `jsonapi:"attr,position"`
		Webhook       *decodedURL   `jsonapi:"relation,webhook"`
		Event         *decodedCause `jsonapi:"relation,event"`
	}
	decodedTopic struct {
		ID                 string      `jsonapi:"primary,webhook-topic"`
		Topic              string      `jsonapi:"attr,topic"`
		LastDeliveredEvent int64       `jsonapi:"attr,last_delivered_event"`
		LastDeliveredAt    time.Time   `jsonapi:"attr,last_delivered_at,iso8601"`
		Webhook            *decodedURL `jsonapi:"relation,webhook"`
	}
	decodedAlert struct {
		ID            string         `jsonapi:"primary,alert"`
		Name          string         `jsonapi:"attr,name"`
		Description   *string        `jsonapi:"attr,description"`
		Metric        string         `jsonapi:"attr,metric"`
		Labels        []string       `jsonapi:"attr,labels"`
		Function      string         `jsonapi:"attr,function"`
		Window        *string        `jsonapi:"attr,window"`
		Comparison    string         `jsonapi:"attr,comparison"`
		Threshold     float64        `jsonapi:"attr,threshold"`
		For           *string        `jsonapi:"attr,for"`
		CreatedAt     time.Time      `jsonapi:"attr,created_at,iso8601"`
		PausedAt      *time.Time     `jsonapi:"attr,paused_at,iso8601"`
		State         string         `jsonapi:"attr,state"`
		Since         *time.Time     `jsonapi:"attr,since,iso8601"`
		Value         *float64       `jsonapi:"attr,value"`
		LastEvaluated *time.Time     `jsonapi:"attr,last_evaluated_at,iso8601"`
		Recipients    []*decodedName `jsonapi:"relation,recipients"`
	}
	decodedDirectory struct {
		ID         string               `jsonapi:"primary,ldap"`
		Enabled    bool                 `jsonapi:"attr,enabled"`
		Accounts   int64                `jsonapi:"attr,accounts"`
		Gone       int64                `jsonapi:"attr,gone"`
		LastSyncAt *time.Time           `jsonapi:"attr,last_sync_at,iso8601"`
		Status     []*decodedServerName `jsonapi:"relation,status"`
	}
	decodedLDAPServer struct {
		ID         string                `jsonapi:"primary,ldap-server"`
		URL        string                `jsonapi:"attr,url"`
		Reachable  bool                  `jsonapi:"attr,reachable"`
		Error      *string               `jsonapi:"attr,error"`
		CheckedAt  *time.Time            `jsonapi:"attr,checked_at,iso8601"`
		LastSyncAt *time.Time            `jsonapi:"attr,last_sync_at,iso8601"`
		SignIns    int64                 `jsonapi:"attr,sign_ins"`
		Refusals   int64                 `jsonapi:"attr,refusals"`
		LDAP       *decodedDirectoryName `jsonapi:"relation,ldap"`
	}
	decodedLDAPAccount struct {
		ID        string       `jsonapi:"primary,ldap-account"`
		DN        string       `jsonapi:"attr,dn"`
		CreatedAt time.Time    `jsonapi:"attr,created_at,iso8601"`
		SyncedAt  time.Time    `jsonapi:"attr,synced_at,iso8601"`
		GoneAt    *time.Time   `jsonapi:"attr,gone_at,iso8601"`
		User      *decodedName `jsonapi:"relation,user"`
	}
	decodedVersion struct {
		ID      string  `jsonapi:"primary,version"`
		Version string  `jsonapi:"attr,version"`
		Commit  *string `jsonapi:"attr,commit"`
		Go      string  `jsonapi:"attr,go"`
	}

	// What others refer to, without what it refers to in turn: the decoder follows circles for ever.
	decodedName struct {
		ID       string `jsonapi:"primary,user"`
		Username string `jsonapi:"attr,username"`
	}
	decodedDirectoryName struct {
		ID      string `jsonapi:"primary,ldap"`
		Enabled bool   `jsonapi:"attr,enabled"`
	}
	decodedServerName struct {
		ID  string `jsonapi:"primary,ldap-server"`
		URL string `jsonapi:"attr,url"`
	}
	decodedKey struct {
		ID  string `jsonapi:"primary,group"`
		Key string `jsonapi:"attr,key"`
	}
	decodedFactor struct {
		ID   string `jsonapi:"primary,authenticator"`
		Kind string `jsonapi:"attr,kind"`
	}
	decodedGiven struct {
		ID   string `jsonapi:"primary,role"`
		Name string `jsonapi:"attr,name"`
	}
	decodedClientID struct {
		ID       string `jsonapi:"primary,client"`
		ClientID string `jsonapi:"attr,client_id"`
	}
	decodedText struct {
		ID   string `jsonapi:"primary,message"`
		Body string `jsonapi:"attr,body"`
	}
	decodedURL struct {
		ID  string `jsonapi:"primary,webhook"`
		URL string `jsonapi:"attr,url"`
	}
	decodedEntry struct {
		ID           string `jsonapi:"primary,contact"`
		Subscription string `jsonapi:"attr,subscription"`
	}
	decodedCause struct {
		ID   string `jsonapi:"primary,event"`
		Verb string `jsonapi:"attr,verb"`
	}
)

// decoded has a model of each type that is served.
var decoded = map[string]any{
	"contact": decodedContact{}, "room": decodedRoom{}, "user": decodedUser{}, "session": decodedSession{}, "token": decodedToken{}, "group": decodedGroup{}, "client": decodedClient{},
	"module": decodedModule{}, "type": decodedType{}, "me": decodedMe{}, "version": decodedVersion{}, "event": decodedEvent{},
	"role": decodedRole{}, "permission": decodedPermission{}, "authenticator": decodedAuthenticator{}, "setting": decodedSetting{}, "allowed-address": decodedAddress{}, "server": decodedServer{}, "encryption": decodedEncryption{},
	"message": decodedMessage{}, "recipient": decodedRecipient{}, "broadcast": decodedBroadcast{},
	"password-link": decodedPasswordLink{}, "registration-token": decodedRegistrationToken{},
	"ldap": decodedDirectory{}, "ldap-server": decodedLDAPServer{}, "ldap-account": decodedLDAPAccount{},
	"stats": decodedStats{}, "usage-report": decodedReport{},
	"webhook": decodedWebhook{}, "webhook-delivery": decodedDelivery{}, "webhook-topic": decodedTopic{}, "job": decodedJob{}, "alert": decodedAlert{},
	"provisioning": decodedProvisioning{},
}

// mixed are the members that no field of a model can hold, since they name resources of several types, or have values of
// several kinds.
var mixed = map[string]bool{"event actor": true, "event target": true, "setting value": true, "setting default": true}

// TestGoogleDecodes has google/jsonapi decode lists, resources, what they include, and the answers to creations,
// and compares what it makes of them with what is there.
func TestGoogleDecodes(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		if _, err := s.newSession(); err != nil { // the client's only one
			t.Fatal(err)
		}
		created := map[string]string{}
		support := map[string]any{"data": []any{map[string]any{"type": "role", "id": idOf(s.get("roles/by-name/support"))}}}
		s.do(201, "POST", "allowed-addresses", resourceDocument("allowed-address", "", map[string]any{"address": "127.0.0.0/8"}, nil))
		for _, document := range []map[string]any{
			resourceDocument("user", "", map[string]any{"username": "decoded", "email": "decoded@example.com"}, map[string]any{"roles": support}),
			resourceDocument("group", "", map[string]any{"name": "Decoders", "create_default_room": true}, map[string]any{
				"members": map[string]any{"data": []any{map[string]any{"type": "user", "id": quentin}}}, "roles": support}),
			resourceDocument("token", "", map[string]any{"name": "decoded", "scopes": []string{"urn:reeve:user:get"}, "expires_at": "2099-01-01T00:00:00.5Z"},
				map[string]any{"user": toOne("user", quentin)}),
			resourceDocument("message", "", map[string]any{"body": "So it goes.", "to": []string{"quentin"}}, nil),
			resourceDocument("broadcast", "", map[string]any{"body": "So it goes."}, nil),
			linkDocument(quentin, nil),
			resourceDocument("registration-token", "", map[string]any{"uses_allowed": 1, "expires_at": "2099-01-01T00:00:00.5Z"}, nil),
			resourceDocument("job", "", map[string]any{"kind": "recount"}, nil),
			resourceDocument("alert", "", map[string]any{"name": "waiting", "metric": "reeve_queue_length", "labels": []string{"queue=jobs"}, "function": "value", "threshold": 0.5},
				map[string]any{"recipients": map[string]any{"data": []any{map[string]any{"type": "user", "id": quentin}}}}),
		} {
			typ := dig(document, "data", "type").(string)
			made := s.do(201, "POST", typ+"s", document)
			created[typ] = idOf(made)
			one(t, made)
		}
		s.app.enrol(t, quentin)
		s.toldWebhook()
		s.directedUser()
		if token := s.get("tokens/" + created["token"]); dig(token, "data", "attributes", "token") != nil {
			t.Error("a token is shown again")
		}
		for _, d := range s.app.engine.Registry().Descriptions() {
			if d.Singleton {
				one(t, s.get(d.Path()))
				continue
			}
			list := s.get(d.Path() + "?page[first]=100")
			many(t, list)
			if dig(list, "data", 0) == nil {
				t.Errorf("there is no %s to decode", d.Name)
				continue
			}
			var paths []string
			for _, r := range d.References {
				paths = append(paths, r.Name)
			}
			id := dig(list, "data", 0, "id").(string)
			one(t, s.get(d.Path()+"/"+id))
			if paths != nil {
				include := "include=" + strings.Join(paths, ",")
				one(t, s.get(d.Path()+"/"+id+"?"+include))
				compound := s.get(d.Path() + "?page[last]=100&" + include)
				if many(t, compound); dig(compound, "included", 0) == nil {
					t.Errorf("%s include nothing", d.Plural)
				}
			}
		}
	})
}

func encoded(t *testing.T, v any) *bytes.Reader {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(text)
}

// one decodes a document of one resource.
func one(t *testing.T, document map[string]any) {
	t.Helper()
	model := reflect.New(modelOf(t, document["data"]))
	if err := jsonapi.UnmarshalPayload(encoded(t, document), model.Interface()); err != nil {
		t.Errorf("decoding %v: %v", document, err)
		return
	}
	agree(t, model.Elem(), document["data"], included(document))
	complete(t, model.Type().Elem(), document["data"])
}

// many decodes a document of a list.
func many(t *testing.T, document map[string]any) {
	t.Helper()
	data := document["data"].([]any)
	if len(data) == 0 {
		return
	}
	model := modelOf(t, data[0])
	models, err := jsonapi.UnmarshalManyPayload(encoded(t, document), reflect.PointerTo(model))
	if err != nil || len(models) != len(data) {
		t.Errorf("decoding %d of %v: %d, %v", len(data), model, len(models), err)
		return
	}
	for i := range models {
		agree(t, reflect.ValueOf(models[i]).Elem(), data[i], included(document))
		complete(t, model, data[i])
	}
}

func modelOf(t *testing.T, object any) reflect.Type {
	t.Helper()
	model := decoded[fmt.Sprint(dig(object, "type"))]
	if model == nil {
		t.Fatalf("there is no model of %v", object)
	}
	return reflect.TypeOf(model)
}

// included are the included resources of a document, by [key].
func included(document map[string]any) map[string]any {
	all := map[string]any{}
	resources, _ := document["included"].([]any)
	for _, r := range resources {
		all[key(r)] = r
	}
	return all
}

func key(identifier any) string {
	return fmt.Sprint(dig(identifier, "type"), " ", dig(identifier, "id"))
}

// members are the fields of a model by what stands in their tags: "attr username".
func members(model reflect.Type) map[string]int {
	all := map[string]int{}
	for i := range model.NumField() {
		tag := strings.Split(model.Field(i).Tag.Get("jsonapi"), ",")
		all[tag[0]+" "+tag[1]] = i
	}
	return all
}

// complete checks that a model has each member of a resource object.
func complete(t *testing.T, model reflect.Type, object any) {
	t.Helper()
	has := members(model)
	for kind, member := range map[string]string{"attr": "attributes", "relation": "relationships"} {
		there, _ := dig(object, member).(map[string]any)
		for name := range there {
			if _, ok := has[kind+" "+name]; !ok && !mixed[fmt.Sprint(dig(object, "type"), " ", name)] {
				t.Errorf("%v has no field for %s", model, name)
			}
		}
	}
}

// agree checks that a decoded value holds what a resource object says, and of its relationships what is included.
func agree(t *testing.T, model reflect.Value, object any, included map[string]any) {
	t.Helper()
	for member, i := range members(model.Type()) {
		kind, name, _ := strings.Cut(member, " ")
		field := model.Field(i)
		switch kind {
		case "primary":
			if got := name + " " + field.String(); got != key(object) {
				t.Errorf("%s was decoded as %s", key(object), got)
			}
		case "attr":
			attributes, _ := dig(object, "attributes").(map[string]any)
			if want, there := attributes[name]; there && !equal(t, field.Interface(), want) || !there && !field.IsZero() {
				t.Errorf("%s of %s is %v, but was decoded as %v", name, key(object), want, field.Interface())
			}
		case "relation":
			var want []any
			switch data := dig(object, "relationships", name, "data").(type) {
			case []any:
				want = data
			case map[string]any:
				want = []any{data}
			}
			var got []reflect.Value
			switch {
			case field.Kind() == reflect.Slice:
				for _, element := range field.Seq2() {
					got = append(got, element)
				}
			case !field.IsNil():
				got = []reflect.Value{field}
			}
			if len(got) != len(want) {
				t.Errorf("%s names %d as its %s, but %d were decoded", key(object), len(want), name, len(got))
				continue
			}
			for i := range got {
				about := want[i]
				if whole := included[key(about)]; whole != nil {
					about = whole
				}
				agree(t, got[i].Elem(), about, included)
			}
		}
	}
}

// equal reports whether a decoded value is the same as one of plain JSON.
func equal(t *testing.T, got, want any) bool {
	t.Helper()
	var plain any
	if err := json.NewDecoder(encoded(t, got)).Decode(&plain); err != nil {
		t.Fatal(err)
	}
	texts := []any{plain, want}
	if !slices.ContainsFunc(texts, func(v any) bool { _, ok := v.(string); return !ok }) {
		a, errA := time.Parse(time.RFC3339, plain.(string))
		b, errB := time.Parse(time.RFC3339, want.(string))
		if errA == nil && errB == nil {
			return a.Equal(b)
		}
	}
	return reflect.DeepEqual(plain, want)
}

// runScript runs one of the clients in JavaScript, and returns what it prints.
func runScript(t *testing.T, name string, environment ...string) (done map[string]any) {
	t.Helper()
	client := exec.CommandContext(t.Context(), "node", name)
	client.Dir = filepath.Join("testdata", "client")
	client.Env = append(os.Environ(), environment...)
	var failure bytes.Buffer
	client.Stderr = &failure
	printed, err := client.Output()
	if err != nil {
		t.Fatalf("%v; .ci/install installs what the client needs:\n%s", err, failure.Bytes())
	}
	if err := json.Unmarshal(printed, &done); err != nil {
		t.Fatalf("%v in %s", err, printed)
	}
	return done
}

// TestKitsu has kitsu, a JSON:API client of JavaScript, list, include, create, change, relate and delete, and
// compares what it understood with what is there.
func TestKitsu(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		// As plain JSON has it, before kitsu changes anything.
		active := s.get("users?filter[status]=active&sort=-username&page[first]=100")
		groups, first := s.get("groups?sort=name"), s.get("sessions?page[first]=1&include=user")
		members := func(id any) (names []any) {
			for _, member := range s.get(fmt.Sprintf("groups/%s/members?page[first]=100", id))["data"].([]any) {
				names = append(names, dig(member, "attributes", "username"))
			}
			return names
		}
		var usernames, all []any
		for _, user := range active["data"].([]any) {
			usernames = append(usernames, dig(user, "attributes", "username"))
		}
		for _, group := range groups["data"].([]any) {
			all = append(all, []any{dig(group, "attributes", "key"), append([]any{}, members(dig(group, "id"))...)})
		}

		done := runScript(t, "client.js", "REEVE_URL="+s.bases[0]+"/api/admin/v1",
			"REEVE_AUTHORIZATION=Basic "+base64.StdEncoding.EncodeToString([]byte(s.user)))

		created := done["created"].(map[string]any)
		failure := func(status, code string, source ...any) any {
			f := map[string]any{"status": status, "code": code}
			if source != nil {
				f["source"] = map[string]any{source[0].(string): source[1]}
			}
			return f
		}
		for name, want := range map[string]any{
			"active": usernames, "total": dig(active, "meta", "count"), "groups": all,
			"refused": []any{failure("422", "unknown_member", "pointer", "/data/attributes/shoe_size")},
			"changed": "Kitsu", "stale": []any{failure("412", "precondition_failed", "header", "If-Match")},
			"added": 204.0, "linked": []any{[]any{"user", quentin}, []any{"user", created["id"]}}, "removed": 204.0,
			"members": []any{"kitsu"}, "groupsOfUser": []any{"Foxes"},
			"session": []any{dig(first, "data", 0, "id"), dig(first, "included", 0, "attributes", "username")},
			"deleted": 204.0, "gone": []any{failure("404", "not_found")}, "left": []any{},
		} {
			if !reflect.DeepEqual(done[name], want) {
				t.Errorf("%s is %v, but kitsu understood %v", name, want, done[name])
			}
		}
		for name, want := range map[string]any{"type": "user", "status": 201.0, "again": true, "username": "kitsu", "email": "kitsu@example.com", "locked_at": nil} {
			if got, there := created[name]; !there || got != want {
				t.Errorf("%s of the created user is %v, but kitsu understood %v", name, want, got)
			}
		}
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(done["locked"])); err != nil {
			t.Error("the user was locked at", err)
		}
		if n := s.count("SELECT count(*) FROM users WHERE username = 'kitsu'"); n != 0 {
			t.Errorf("%d deleted users are there", n)
		}
	})
}

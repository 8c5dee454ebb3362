package main

import (
	"strings"
	"testing"

	"reeve/resource/job"
)

// TestProvisioningTellsNoSecret has files with secrets applied, tried, and refused for every reason that there is, and jobs
// done over what they made: neither reports nor metrics, nor anything else that is read, has one of the secrets. The harness
// sees it: each answer is scanned, and the log and the database in the end.
func TestProvisioningTellsNoSecret(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		yaml, folder := provisioned(t, "")
		s := start(t, uri, yaml+exportsTo(t.TempDir())[len(everything):])
		for _, secret := range []string{"pilgrim-in-the-file-1", "pilgrim-by-a-file-2-trout", "directory-bind-3-vonnegut", "misplaced-password-4", "a-tab-and-password-5"} {
			held.add(secret, "a file of provisioning")
		}
		file(t, folder, "by-a-file.secret", "pilgrim-by-a-file-2-trout\n")
		const good = "users:\n  - {username: inline, password: pilgrim-in-the-file-1}\n  - {username: by-file, password: \"${file:../by-a-file.secret}\"}\n"
		reload := func(kind, query string, fine bool) {
			t.Helper()
			a := s.send("POST", "/api/admin/v1/provisioning/"+kind+"/reload"+query, nil)
			failed, _ := dig(a.document, "meta", "failed").([]any)
			if told := a.StatusCode == 200 && len(failed) == 0; told != fine {
				t.Errorf("%d %s", a.StatusCode, a.text)
			}
			s.get("provisioning/" + kind)
		}
		file(t, folder, "users/people.yaml", good)
		file(t, folder, "settings/directory.yaml", "settings:\n  - {name: auth.ldap.bind_password, value: directory-bind-3-vonnegut}\n")
		for _, query := range []string{"?dry_run=true", "", "", "?dry_run=true"} {
			reload("users", query, true)
			reload("settings", query, true)
		}
		for _, bad := range []string{
			"users:\n  - {username: misplaced, passwort: misplaced-password-4}\n", // no such member
			"users:\n  - {username: misplaced, password: [misplaced-password-4]}\n",
			"users:\n  - {username: inline, password: pilgrim-in-the-file-1}\n  - {username: \"\", password: misplaced-password-4}\n",
			"users:\n  - {username: misplaced, password: misplaced-password-4, can_request_admin: misplaced-password-4}\n",
			"users:\n  - {username: misplaced, password: \"${NOT_THERE}misplaced-password-4\"}\n",
			"users:\n\t- {username: misplaced, password: a-tab-and-password-5}\n", // no YAML
			"users:\n  - {username: misplaced, password: a-tab-and-password-5\n",
			"users: a-tab-and-password-5\n",
		} {
			file(t, folder, "users/people.yaml", bad)
			reload("users", "", false)
			reload("users", "?dry_run=true", false)
		}
		file(t, folder, "users/people.yaml", good)
		file(t, folder, "settings/directory.yaml", "settings:\n  - {name: auth.ldap.bind_password, value: [directory-bind-3-vonnegut]}\n")
		reload("settings", "", false)
		file(t, folder, "settings/directory.yaml", "settings:\n  - {name: auth.ldap.timeout, value: directory-bind-3-vonnegut}\n")
		reload("settings", "?dry_run=true", false)

		for _, name := range []string{"auth.ldap.bind_dn", "auth.ldap.user_base"} {
			s.set(200, name, "cn=reader,dc=example,dc=com")
		}
		s.set(200, "auth.ldap.urls", []string{"ldap://127.0.0.1:1"})
		s.do(204, "POST", "encryption/rotate-data-keys", nil)
		for _, kind := range []string{"recount", "re-encrypt", "prune", "erase"} {
			eventually(t, patience, kind+" is queued", func() bool {
				a := s.send("POST", "/api/admin/v1/jobs", resourceDocument("job", "", map[string]any{"kind": kind}, nil))
				if a.StatusCode == 201 {
					s.becomes("jobs/"+idOf(a.document), job.Done)
				}
				return a.StatusCode == 201
			})
		}
		for _, list := range []string{"users", "settings", "events", "webhooks"} {
			path := "jobs/" + idOf(s.do(201, "POST", "jobs", exportJob(list)))
			if done := s.becomes(path, job.Done); len(dig(done, "report").([]any)) != 4 {
				t.Errorf("%v", done)
			}
		}
		if metrics := s.send("GET", "/metrics", nil); metrics.StatusCode != 200 || !strings.Contains(string(metrics.text), "reeve_queue_length") {
			t.Errorf("%d %s", metrics.StatusCode, metrics.text)
		}
		for _, list := range []string{"jobs", "events", "settings", "users", "provisioning", "modules"} {
			s.get(list + "?page[first]=1000")
		}
		if n := s.count("SELECT count(*) FROM users WHERE username IN ('inline', 'by-file') AND password_hash IS NOT NULL"); n != 2 {
			t.Errorf("%d users have a password", n)
		}
	})
}

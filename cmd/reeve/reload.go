package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/client"
	self "reeve/resource/server"
	"reeve/resource/setting"
	"reeve/resource/version"
)

// server is the program as it runs.
func (a *app) server(ctx context.Context) (self.Server, error) {
	nodes, err := a.presence.Count(ctx)
	return self.Server{Name: serverName.In(a.config), Version: version.Current().Version, StartedAt: a.started, Nodes: nodes}, err
}

// reload reads the configuration again, and the certificates: wholly, once the transaction is committed, or not at all.
func (a *app) reload(tx *resource.Tx) (resource.Meta, error) {
	if err := tx.Lock("reload"); err != nil { // what was read first is not to come last
		return nil, err
	}
	reading, err := a.config.read()
	renew := make([]func(), len(a.certified))
	for i, c := range a.certified {
		var unread error
		renew[i], unread = c.read()
		err = errors.Join(err, unread)
	}
	if err != nil {
		return nil, resource.Errorf(resource.Conflict, "%v", err)
	}
	if err := a.configure(tx, reading); err != nil {
		return nil, err
	}
	changed, restart := reading.Changes()
	return resource.Meta{"changed": changed, "needs_restart": restart}, a.database.AfterCommit(tx, func(context.Context) {
		reading.Take()
		for _, renew := range renew {
			renew()
		}
	})
}

// configure has the database agree with the configuration. It returns Conflict about what cannot be.
func (a *app) configure(ctx context.Context, values setting.Values) error {
	err := client.Configure(ctx, a.database, a.clients, time.Now(), staticClients(values), adminClients.In(values))
	if err == nil {
		err = a.guard.Configure(ctx, httpAllowedAddresses.In(values), time.Now())
	}
	return err
}

// reloadOn reloads whenever the program is sent SIGHUP, until the context ends.
func (a *app) reloadOn(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
		}
		results, err := a.engine.Do(ctx, resource.Operation{Verb: "reload", Type: self.Schema.Name, Principal: auth.System})
		if err != nil {
			a.log.Error("the configuration is not reloaded", "error", err)
			continue
		}
		a.log.Info("the configuration is reloaded", "changed", results[0].Meta["changed"], "needs_restart", results[0].Meta["needs_restart"])
	}
}

// certificate is that of a listener.
type certificate struct {
	listener string
	files    tlsConfiguration
	current  atomic.Pointer[tls.Certificate]
}

// read reads the files; renew has new connections get what they say.
func (c *certificate) read() (renew func(), err error) {
	read, err := tls.LoadX509KeyPair(c.files.CertificateFile, c.files.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", c.listener, err)
	}
	return func() { c.current.Store(&read) }, nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"reeve/resource"
	"reeve/resource/alert"
	"reeve/resource/group"
	"reeve/resource/module"
	"reeve/resource/provisioning"
	"reeve/resource/role"
	"reeve/resource/setting"
	"reeve/resource/user"
	"reeve/resource/webhook"
	"reeve/storage"
)

// The settings of the module provisioning.
var (
	provisioningPath  = setting.New("provisioning.path", "provisioning", "The folder whose folders have the files of each kind; none if empty. The same on every node.").Fixed()
	provisioningWatch = setting.New("provisioning.watch", false, "Whether files are applied when they change; else at the start, and by reload.")
)

// newProvisioning is the module provisioning.
func (a *app) newProvisioning(c *configuration, provisioned *storage.Table[provisioning.Provisioned], changes *storage.Table[provisioning.Change]) module.Module {
	keeper := provisioning.New(provisioning.Config{
		Engine: a.engine, Database: a.database, Provisioned: provisioned, Changes: changes, Kinds: kinds, Log: a.log,
		Path:  func() string { return provisioningPath.In(c) },
		Watch: func() bool { return provisioningWatch.In(c) },
	})
	a.engine.UseProvisioner(keeper)
	return module.Module{
		Name: "provisioning", Doc: "Resources as files say.", Types: []resource.Declaration{keeper.Type()}, Run: keeper.Run,
	}
}

// declared are the modules that files declare: those of modules.path, and those that are provisioned.
func declared(c *configuration, db *storage.DB, adopt func(ctx context.Context, drafts ...storage.Draft) error) []module.Module {
	modules := declaredIn(modulesPath.In(c), db, adopt)
	root := provisioningPath.In(c)
	if root == "" {
		return modules
	}
	folders, err := provisioning.Folders(root, "types")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		modules = append(modules, module.Module{Name: filepath.Base(root), Fault: err})
	}
	for _, folder := range folders {
		modules = append(modules, declaredIn(filepath.Join(root, folder), db, adopt)...)
	}
	return modules
}

// kinds are the kinds of files, each after those that it refers to.
var kinds = []provisioning.Kind{
	{
		Name: "modules", Doc: "What is loaded.", Type: module.Schema.Name, Key: "name", Remove: "unload",
		Setters: []provisioning.Setter{provisioning.Switch("loaded", "load", "unload")}, Unset: []resource.FilterArgument{resource.FilterBy("loaded", "false")},
	},
	{
		Name: "types", Doc: "Types that files declare, each file a module.", Type: module.Schema.Name, Key: "name", Remove: "unload", Whole: true,
		Setters: []provisioning.Setter{provisioning.Switch(provisioning.MemberLoaded, "load", "unload"), provisioning.Again(provisioning.MemberContent, "reload")},
		Unset:   []resource.FilterArgument{resource.FilterBy("loaded", "false")},
	},
	{
		Name: "settings", Doc: "What the program is told.", Type: setting.Schema.Name, Key: "name",
		Unset: []resource.FilterArgument{resource.FilterBy("source", string(setting.Default), string(setting.File), string(setting.Environment), string(setting.Flag))},
	},
	{Name: "roles", Doc: "Permissions that users and groups are given together.", Type: role.Schema.Name, Key: "name"},
	{
		Name: "users", Doc: "Accounts.", Type: user.Schema.Name, Key: "username",
		Setters: []provisioning.Setter{
			provisioning.Argument("password", "set-password", "password").Unseen().With("skip_password_check").Also("change-password"),
			provisioning.Argument("can_request_admin", "set-admin", "admin"), provisioning.Switch("locked", "lock", "unlock"),
		},
	},
	{Name: "groups", Doc: "Users that are administered together.", Type: group.Schema.Name, Key: "key"},
	{
		Name: "webhooks", Doc: "Endpoints that are told of events.", Type: webhook.Schema.Name, Key: "url",
		Setters: []provisioning.Setter{provisioning.Switch("paused", "pause", "resume")},
	},
	{
		Name: "alerts", Doc: "Rules over the server's own metrics.", Type: alert.Schema.Name, Key: "name",
		Setters: []provisioning.Setter{provisioning.Switch("paused", "pause", "resume")},
	},
	{Name: "datasources", Doc: "There are none here."},
}

// Package resource is the engine: a [Schema] says what an entity is, a [Type] what can be done with it, a
// [Registry] which types are served right now, and [Engine.Do] is the one door through which everything goes.
//
// It knows no wire protocol and no database. Fronts (httpapi and the others) turn requests into an
// [Operation] and a [Result] into bytes; storage keeps the rows that a [Schema] describes. Whatever else the
// program can say about a type (routes, OpenAPI, permissions, audit) derives from its [Description].
package resource

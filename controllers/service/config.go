package service

import (
	"context"
	"log/slog"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
)

// Desired tells what should be.
type Desired interface {
	// Service returns the service in force under exactly this name, and its revision.
	Service(name string) (svc *v1.Service, revision string, ok bool)
	// Services returns all of them.
	Services() []*v1.Service
	// Complete is false until a whole listing of the manifests was seen: before that, what is missing may still come.
	Complete() bool
	// Problems is what is wrong with a service's manifest.
	Problems(name string) []v1.Problem
}

// Store keeps what was observed and what was asked for.
type Store interface {
	Status(key v1.Key) *v1.ServiceStatus
	SetStatus(key v1.Key, st *v1.ServiceStatus)
	DeleteObject(key v1.Key)
	Intent(key v1.Key) (v1.Intent, bool)
	Port(slot string) (int, bool)
	SetPort(slot string, port int)
	Ports() map[string]int
	RecordEvent(e v1.Event) uint64
	// Revision is the manifest of a service in a revision that was recorded, or nil.
	Revision(key v1.Key, revision string) *v1.Service
	// RecordRollout takes what became of a revision into the service's history.
	RecordRollout(key v1.Key, r v1.Rollout)
}

// Upstreams is where the web server in front looks, at each request, for the address of a replica.
type Upstreams interface {
	// Replicas are those that have an address.
	Replicas(service string) []int
	Get(service string, replica int) string
	Set(service string, replica int, address string) (changed bool, err error)
	Remove(service string) error
}

// Demand is where requests are held for services that run only while somebody asks for them.
type Demand interface {
	// Address is where a service's requests are to be sent while it does not run.
	Address(service string) (string, error)
	// Asked reports whether requests wait or are under way there.
	Asked(service string) bool
	// Tell says where the service is ready, or else why it will not be.
	Tell(service string, ready []string, failed string)
	Forget(service string)
}

// Forgetter tells the keeper to forget runs once what was noted of them is durable. It must not block.
type Forgetter interface {
	Forget(ids ...process.RunID)
}

// Program is what the keeper is to be given for one replica.
type Program struct {
	// Spec lacks ID, Owner, Slot and Labels, which the reconciler adds.
	Spec process.Spec
	// Hash covers all that forces a new process when it changes, the content of env files included.
	Hash string
	// EnvFiles are watched, so that an edit of one reconciles the service.
	EnvFiles []string
	// Exec makes a command of the manifest a check that runs as the program does.
	Exec func(v1.Command) (probe.Check, error)
}

// Config is what the reconciler works with.
type Config struct {
	Desired   Desired
	Keeper    process.Keeper
	Store     Store
	Forgetter Forgetter
	// Program resolves a service for one replica. Its error is shown to the user; a *process.StartError has a reason.
	Program func(svc *v1.Service, replica, port int) (Program, error)
	// Track is told the env files of a service, to be watched.
	Track func(key v1.Key, files []string)
	// LastLines returns the last lines that a run has written, newest last.
	LastLines func(run process.Run, n int) []string
	// Unindexed is how many lines of a service were, of late, not taken into the index of logs. Nil means none ever.
	Unindexed func(service string) int64
	Upstreams Upstreams
	// Connections are the open connections of ports, by the other side.
	Connections func(ports ...int) (map[int][]string, error)
	Demand      Demand
	// Enqueue asks for another name to be reconciled.
	Enqueue func(key v1.Key)
	// Session is the keeper's session: intents of another one are void.
	Session func(ctx context.Context) (string, error)
	// RestartDelay and MaxRestartAttempts stand in for what a manifest does not say.
	RestartDelay       time.Duration
	MaxRestartAttempts int
	// ReservedPorts are never chosen for port: auto.
	ReservedPorts []int
	Log           *slog.Logger
}

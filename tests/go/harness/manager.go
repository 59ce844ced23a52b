package harness

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// Manager is a scheduler whose entries come from a provider, which returns what the test has put there last.
type Manager interface {
	// Provide sets the provider's next answers; with a text they are that error.
	Provide(entries []Entry, problem string)
	Start() error
	Shutdown()
}

// ManagerInterval is the time between two calls of the provider.
const ManagerInterval = 200 * time.Millisecond

// NewManager makes a manager of Go's, or one of ours of the given kind (see Schedulers). It ends with the test.
func NewManager(t testing.TB, kind string, r *Redis) Manager {
	t.Helper()
	if kind == "go" {
		return newGoManager(t, r)
	}
	s := &cManager{&CScheduler{StartPeer(t, r.URI())}}
	s.Must("scheduler.new", M{"independent": kind == "c-independent", "heartbeat_ms": 200, "provide": true,
		"sync_ms": ManagerInterval.Milliseconds()})
	return s
}

type goManager struct {
	*asynq.PeriodicTaskManager
	lock    sync.Mutex
	configs []*asynq.PeriodicTaskConfig
	problem string
	running bool
}

func newGoManager(t testing.TB, r *Redis) *goManager {
	m := &goManager{}
	manager, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
		PeriodicTaskConfigProvider: m,
		RedisConnOpt:               r.Opt(),
		SyncInterval:               ManagerInterval,
		SchedulerOpts:              &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel, HeartbeatInterval: 200 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.PeriodicTaskManager = manager
	t.Cleanup(m.Shutdown)
	return m
}

func (m *goManager) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.problem != "" {
		return nil, errors.New(m.problem)
	}
	return m.configs, nil
}

func (m *goManager) Provide(entries []Entry, problem string) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.configs, m.problem = nil, problem
	for _, entry := range entries {
		task, call := entry.Task.ForGo()
		m.configs = append(m.configs, &asynq.PeriodicTaskConfig{Cronspec: entry.Spec, Task: task, Opts: call})
	}
}

func (m *goManager) Start() error {
	err := m.PeriodicTaskManager.Start()
	m.running = err == nil
	return err
}

func (m *goManager) Shutdown() {
	if m.running {
		m.running = false
		m.PeriodicTaskManager.Shutdown()
	}
}

type cManager struct {
	*CScheduler
}

func (m *cManager) Provide(entries []Entry, problem string) {
	if problem != "" {
		m.Must("scheduler.provide", M{"items": problem})
		return
	}
	items := []M{}
	for _, entry := range entries {
		items = append(items, entry.forC())
	}
	m.Must("scheduler.provide", M{"items": items})
}

package system

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// A storm is more than this within stormWindow after the first fault.
const (
	stormWindow    = 3 * time.Second
	stormCommands  = 700
	stormConnects  = 20
	linesPerMinute = 10
	recoversWithin = 30 * time.Second
	calledWithin   = 60 * time.Second
)

// cell is one fault of one program.
type cell struct {
	*testing.T
	r     *Redis
	fake  *FakeRedis
	lines string // the file with the log lines of the peer; "": they have been counted
}

func newCell(t *testing.T) *cell {
	r := StartRedis(t)
	return &cell{T: t, r: r, fake: StartFakeRedis(t, r)}
}

// cells run side by side, more of them than other tests, as they sleep most of the time.
type cells struct {
	t    *testing.T
	wait sync.WaitGroup
}

var cellsAtOnce = make(chan bool, 32) // over all tests: with sanitizers, more of them keep two cores too busy

func (c *cells) start(name string, test func(*cell)) {
	c.wait.Add(1)
	go func() {
		defer c.wait.Done()
		cellsAtOnce <- true
		defer func() { <-cellsAtOnce }()
		c.t.Run(name, func(t *testing.T) { test(newCell(t)) })
	}()
}

// met waits until a fault is met.
func (c *cell) met(rule *Rule) {
	c.Helper()
	Eventually(c, calledWithin, "the faulty call", func() bool { return rule.Calls() > 0 })
}

// hold lets a fault last until it was met and a while longer, and looks for a storm.
func (c *cell) hold(rule *Rule) {
	c.Helper()
	c.met(rule)
	before, links := c.fake.Commands()[""], c.fake.Connections()
	time.Sleep(stormWindow)
	commands, connects := c.fake.Commands()[""]-before, c.fake.Connections()-links
	if commands > stormCommands || connects > stormConnects {
		c.Errorf("a storm: %d commands and %d connections in %v: %v", commands, connects, stormWindow, c.fake.Commands())
	}
}

// logged wants few lines in the notes of a server.
func (c *cell) logged(notes []string) {
	c.Helper()
	var lines []string
	for _, note := range notes {
		if strings.HasPrefix(note, "log ") {
			lines = append(lines, note)
		}
	}
	if len(lines) > linesPerMinute {
		c.Errorf("%d log lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// peer starts a peer before the fake Redis, whose log lines are counted when the test ends, if not before.
func (c *cell) peer(uri string) *Peer {
	c.lines = filepath.Join(c.r.Dir, "lines")
	c.Cleanup(c.fewLines)
	return StartPeerUnder(c, []string{"env", "ASYNQ_PEER_LINES=" + c.lines}, uri)
}

// fewLines counts the log lines of the peer.
func (c *cell) fewLines() {
	if c.lines == "" {
		return
	}
	text, _ := os.ReadFile(c.lines)
	if count := strings.Count(string(text), "\n"); count > linesPerMinute {
		c.Errorf("%d log lines:\n%s", count, text)
	}
	c.lines = ""
}

// cut makes all connections begin anew at a Redis that has forgotten our scripts, so that what is sent only then is sent.
func (c *cell) cut() {
	c.r.Do("SCRIPT", "FLUSH")
	c.r.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
}

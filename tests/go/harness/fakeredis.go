package harness

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// FakeRedis is a Redis with a script of its own: rules say how commands are answered, and what no rule is for is answered
// by a real Redis behind it.
//
//	fake.On("enqueue").Nth(3).Answer("-BUSY Redis is busy running a script.")
//	fake.On("SELECT", "AUTH").Answer("-LOADING Redis is loading the dataset in memory")
//	fake.OnScripts().After(time.Second)
//
// The last rule that is for a command counts. A command that a rule answers does not reach the real Redis.
type FakeRedis struct {
	t        testing.TB
	Socket   string
	redis    *Redis
	names    map[string]string
	listener net.Listener
	base     func(*fakeLink, *fakeSlot, *Command) // what no rule is for; nil: passed on

	mutex       sync.Mutex
	rules       []*Rule
	links       map[*fakeLink]bool
	connections int
	commands    map[string]int
}

// Rule says how some commands are answered.
type Rule struct {
	fake  *FakeRedis
	fits  func(*Command) bool
	nth   int // only for this call, from 1 on; 0: for each
	calls int
	act   func(*fakeLink, *fakeSlot, *Command)
}

// fakeSlot is a place in the order of answers.
type fakeSlot struct {
	answer   []byte
	isThere  bool
	isPassed bool          // the real Redis answers
	closes   bool          // after this answer
	pause    time.Duration // before this answer
}

type fakeLink struct {
	fake          *FakeRedis
	client, redis net.Conn
	isAsking      bool // the next command may be for a slot that is on its way here
	mutex         sync.Mutex
	slots         []*fakeSlot
}

// StartFakeRedis starts one before a real Redis; it ends with the test.
func StartFakeRedis(t testing.TB, r *Redis) *FakeRedis {
	t.Helper()
	f := newFakeRedis(t, r)
	f.Socket = filepath.Join(r.Dir, fmt.Sprint("fake", proxies.Add(1)))
	f.listen("unix", f.Socket)
	return f
}

func newFakeRedis(t testing.TB, r *Redis) *FakeRedis {
	f := &FakeRedis{t: t, redis: r, names: ScriptNames(t), links: map[*fakeLink]bool{}, commands: map[string]int{}}
	return f
}

func (f *FakeRedis) listen(network, address string) {
	f.t.Helper()
	Eventually(f.t, 10*time.Second, "a place that another program of the tests, which is about to start, has inherited", func() bool {
		listener, err := net.Listen(network, address)
		if err == nil {
			f.listener = listener
		} else if !errors.Is(err, syscall.EADDRINUSE) {
			f.t.Fatal(err)
		}
		return err == nil
	})
	f.t.Cleanup(f.end)
	go f.accept(f.listener)
}

// URI is its address in our library's form.
func (f *FakeRedis) URI() string { return "unix://" + f.redis.login + f.Socket }

// On makes a rule for commands of these kinds, such as "enqueue" (a script of ours), "SELECT", "CLIENT ID"; "" is any.
func (f *FakeRedis) On(kinds ...string) *Rule {
	return f.onFitting(func(command *Command) bool {
		for _, kind := range kinds {
			if kind == command.Kind || kind == "" {
				return true
			}
		}
		return false
	})
}

// OnKey makes a rule for commands of a kind whose first key is this one.
func (f *FakeRedis) OnKey(kind, key string) *Rule {
	return f.onFitting(func(command *Command) bool {
		return command.Kind == kind && len(command.Args) > 1 && command.Args[1] == key
	})
}

// OnScripts makes a rule for each script of ours.
func (f *FakeRedis) OnScripts() *Rule {
	return f.onFitting(func(command *Command) bool { return strings.EqualFold(command.Args[0], "EVALSHA") })
}

func (f *FakeRedis) onFitting(fits func(*Command) bool) *Rule {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	rule := &Rule{fake: f, fits: fits, act: func(link *fakeLink, slot *fakeSlot, command *Command) { link.pass(slot, command) }}
	f.rules = append(f.rules, rule)
	return rule
}

// Clear ends all rules.
func (f *FakeRedis) Clear() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.rules = nil
}

// Connections is how many there have been.
func (f *FakeRedis) Connections() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.connections
}

// Commands is how many commands there have been, by kind; those of "" are all.
func (f *FakeRedis) Commands() map[string]int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	counts := map[string]int{}
	for kind, count := range f.commands {
		counts[kind] = count
		counts[""] += count
	}
	return counts
}

// Nth limits the rule to one call of those that it fits, from 1 on.
func (rule *Rule) Nth(n int) *Rule {
	rule.nth = n
	return rule
}

// Calls is how many commands the rule was for.
func (rule *Rule) Calls() int {
	rule.fake.mutex.Lock()
	defer rule.fake.mutex.Unlock()
	return rule.calls
}

func (rule *Rule) set(act func(*fakeLink, *fakeSlot, *Command)) *Rule {
	rule.fake.mutex.Lock()
	defer rule.fake.mutex.Unlock()
	rule.act = act
	return rule
}

// Answer answers with this reply in Redis's protocol; the end of its last line may be left out.
func (rule *Rule) Answer(reply string) *Rule {
	if !strings.HasSuffix(reply, "\r\n") {
		reply += "\r\n"
	}
	return rule.set(func(link *fakeLink, slot *fakeSlot, _ *Command) { link.fill(slot, []byte(reply), false) })
}

// AnswerBy answers with what is made for each call, counted from 1 on.
func (rule *Rule) AnswerBy(reply func(n int) string) *Rule {
	var calls atomic.Int32
	return rule.set(func(link *fakeLink, slot *fakeSlot, _ *Command) {
		link.fill(slot, []byte(reply(int(calls.Add(1)))), false)
	})
}

// Half sends the beginning of a reply, and closes the connection.
func (rule *Rule) Half(beginning string) *Rule {
	return rule.set(func(link *fakeLink, slot *fakeSlot, _ *Command) { link.fill(slot, []byte(beginning), true) })
}

// Close closes the connection in place of an answer.
func (rule *Rule) Close() *Rule { return rule.Half("") }

// Silence never answers, this command and all that come after it on its connection.
func (rule *Rule) Silence() *Rule {
	return rule.set(func(*fakeLink, *fakeSlot, *Command) {})
}

// After has the real Redis answer, later. What comes after it on its connection waits as well.
func (rule *Rule) After(pause time.Duration) *Rule {
	return rule.set(func(link *fakeLink, slot *fakeSlot, command *Command) {
		time.Sleep(pause)
		link.pass(slot, command)
	})
}

// Before does something, and then has the real Redis answer.
func (rule *Rule) Before(do func()) *Rule {
	return rule.set(func(link *fakeLink, slot *fakeSlot, command *Command) {
		do()
		link.pass(slot, command)
	})
}

// Late has the real Redis run the command at once, and its answer come later. What comes after it on its connection
// waits as well.
func (rule *Rule) Late(pause time.Duration) *Rule {
	return rule.set(func(link *fakeLink, slot *fakeSlot, command *Command) {
		slot.pause = pause
		link.pass(slot, command)
	})
}

// Loses has the real Redis run the command, and closes the connection in place of its answer.
func (rule *Rule) Loses() *Rule {
	return rule.set(func(link *fakeLink, slot *fakeSlot, command *Command) {
		slot.closes = true
		link.pass(slot, command)
	})
}

func (f *FakeRedis) end() {
	f.listener.Close()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for link := range f.links {
		link.client.Close()
		link.redis.Close()
	}
}

func (f *FakeRedis) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		redis, err := net.Dial("unix", f.redis.Socket)
		if err != nil {
			client.Close()
			continue
		}
		link := &fakeLink{fake: f, client: client, redis: redis}
		f.mutex.Lock()
		f.links[link] = true
		f.connections++
		f.mutex.Unlock()
		go link.readCommands()
		go link.readReplies()
	}
}

// ruleFor is the rule for a command, or nil, and counts both.
func (f *FakeRedis) ruleFor(command *Command) (act func(*fakeLink, *fakeSlot, *Command)) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.commands[command.Kind]++
	for i := len(f.rules) - 1; i >= 0; i-- {
		rule := f.rules[i]
		if !rule.fits(command) {
			continue
		}
		rule.calls++
		if rule.nth == 0 || rule.nth == rule.calls {
			return rule.act
		}
	}
	return f.base
}

func (l *fakeLink) close() {
	l.client.Close()
	l.redis.Close()
	l.fake.mutex.Lock()
	defer l.fake.mutex.Unlock()
	delete(l.fake.links, l)
}

func (l *fakeLink) readCommands() {
	defer l.close()
	from := bufio.NewReaderSize(l.client, 1<<16)
	for {
		command, err := ReadCommand(from, l.fake.names)
		if err != nil {
			return
		}
		slot := &fakeSlot{}
		l.mutex.Lock()
		l.slots = append(l.slots, slot)
		l.mutex.Unlock()
		if act := l.fake.ruleFor(command); act != nil {
			act(l, slot, command)
		} else {
			l.pass(slot, command)
		}
	}
}

// pass has the real Redis answer.
func (l *fakeLink) pass(slot *fakeSlot, command *Command) {
	l.mutex.Lock()
	slot.isPassed = true
	l.mutex.Unlock()
	l.redis.Write(command.Raw)
}

// fill gives an answer, which is sent when all before it are.
func (l *fakeLink) fill(slot *fakeSlot, answer []byte, closes bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	slot.answer, slot.closes, slot.isThere = answer, closes, true
	l.flush()
}

// flush sends what can be sent. Under the lock.
func (l *fakeLink) flush() {
	for len(l.slots) > 0 && l.slots[0].isThere {
		slot := l.slots[0]
		l.slots = l.slots[1:]
		l.client.Write(slot.answer)
		if slot.closes {
			l.client.Close()
		}
	}
}

func (l *fakeLink) readReplies() {
	defer l.close()
	from := bufio.NewReaderSize(l.redis, 1<<16)
	for {
		raw, isMessage, err := ReadReply(from)
		if err != nil {
			return
		}
		l.mutex.Lock()
		if isMessage {
			l.client.Write(raw)
		} else {
			l.answered(raw)
		}
		l.mutex.Unlock()
	}
}

// answered gives an answer of the real Redis to the command that it is for. Under the lock.
func (l *fakeLink) answered(raw []byte) {
	for _, slot := range l.slots {
		if !slot.isPassed || slot.isThere {
			continue
		}
		time.Sleep(slot.pause)
		slot.answer, slot.isThere = raw, true
		if slot.closes {
			slot.answer = nil
		}
		l.flush()
		return
	}
}

package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Held says where the bytes are that have not arrived yet.
type Held int

const (
	// HeldBySender: in the sender's kernel, which sends them again and again, as when a route is a black hole. They die
	// when the sender resets the connection, and outlive a mere close.
	HeldBySender Held = iota
	// HeldUnderWay: beyond the sender's reach, in a middlebox or in Redis's own receive buffer; the sender's end of the
	// connection is reset at once.
	HeldUnderWay
)

// LateProxy stands between a peer and Redis on a TCP port. It can hold back the bytes of a connection, from one command
// on, and deliver them when the peer has long given that connection up.
type LateProxy struct {
	t        testing.TB
	redis    *Redis
	port     int
	names    map[string]string
	listener net.Listener

	mutex    sync.Mutex
	changed  *sync.Cond
	holdKind string // the next command of this kind is held, and all that its connection sends after it
	holdHow  Held
	held     *lateLink
	isFrozen bool
	seen     map[string]int // commands that were passed on, by kind
	replied  map[string]int // the same, whose reply has been passed back
	links    map[*lateLink]bool
}

type lateLink struct {
	proxy     *LateProxy
	client    *net.TCPConn
	redis     net.Conn
	waiting   []string // kinds of the commands whose reply has not come
	held      []byte
	isHeld    bool
	isGivenUp bool // by the peer, or cut from it
	ended     chan struct{}
}

// StartLateProxy starts a proxy for a Redis that ends with the test.
func StartLateProxy(t testing.TB, r *Redis) *LateProxy {
	t.Helper()
	p := &LateProxy{t: t, redis: r, names: ScriptNames(t), seen: map[string]int{}, replied: map[string]int{},
		links: map[*lateLink]bool{}}
	p.changed = sync.NewCond(&p.mutex)
	var err error
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.port = p.listener.Addr().(*net.TCPAddr).Port
	t.Cleanup(p.end)
	go p.accept()
	return p
}

// URI is the proxy's address in our library's form.
func (p *LateProxy) URI() string { return fmt.Sprintf("redis://%s127.0.0.1:%d", p.redis.login, p.port) }

func (p *LateProxy) end() {
	p.listener.Close()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.isFrozen = false
	p.changed.Broadcast()
	for link := range p.links {
		link.client.Close()
		link.redis.Close()
	}
}

func (p *LateProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.redis.Socket)
		if err != nil {
			client.Close()
			continue
		}
		link := &lateLink{proxy: p, client: client.(*net.TCPConn), redis: server, ended: make(chan struct{})}
		p.mutex.Lock()
		p.links[link] = true
		p.mutex.Unlock()
		go link.passCommands()
		go link.passReplies()
	}
}

// Hold holds back the next command of a kind, and all that comes after it on its connection.
func (p *LateProxy) Hold(kind string, how Held) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.holdKind, p.holdHow, p.held = kind, how, nil
}

// Freeze passes no further command on, of any connection, until Thaw.
func (p *LateProxy) Freeze() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.isFrozen = true
}

// Thaw ends Freeze.
func (p *LateProxy) Thaw() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.isFrozen = false
	p.changed.Broadcast()
}

// Seen is how many commands of a kind reached Redis and were answered to the peer.
func (p *LateProxy) Seen(kind string) int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.replied[kind]
}

// WaitHeld waits until a command is held.
func (p *LateProxy) WaitHeld(limit time.Duration) {
	p.t.Helper()
	Eventually(p.t, limit, "a command to be held back", func() bool {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		return p.held != nil
	})
}

// WaitGivenUp waits until the peer has given up the connection whose command is held.
func (p *LateProxy) WaitGivenUp(limit time.Duration) {
	p.t.Helper()
	p.WaitHeld(limit)
	Eventually(p.t, limit, "the connection to be given up", func() bool {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		return p.held.isGivenUp
	})
}

// Deliver delivers what is held, if it still can be delivered, and waits until Redis has dealt with it: it has read all of it, or
// had closed the connection.
func (p *LateProxy) Deliver() {
	p.t.Helper()
	p.mutex.Lock()
	link := p.held
	late := link.held
	link.held = nil
	p.mutex.Unlock()
	link.redis.Write(late)
	link.redis.(*net.UnixConn).CloseWrite()
	select {
	case <-link.ended:
	case <-time.After(20 * time.Second):
		p.t.Error("Redis does not close a connection whose other end is closed")
	}
}

// take says what happens to a command: it waits while the proxy is frozen, is passed on, or is held.
func (l *lateLink) take(command *Command) (pass bool) {
	p := l.proxy
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for p.isFrozen {
		p.changed.Wait()
	}
	if !l.isHeld && p.holdKind != "" && command.Kind == p.holdKind {
		p.holdKind, p.held, l.isHeld = "", l, true
		if p.holdHow == HeldUnderWay {
			l.isGivenUp = true
			l.client.SetLinger(0)
			l.client.Close()
		}
	}
	if l.isHeld {
		l.held = append(l.held, command.Raw...)
		return false
	}
	p.seen[command.Kind]++
	l.waiting = append(l.waiting, command.Kind)
	return true
}

func (l *lateLink) passCommands() {
	from := bufio.NewReaderSize(l.client, 1<<16)
	for {
		command, err := ReadCommand(from, l.proxy.names)
		if err != nil {
			l.clientGone(err)
			return
		}
		if l.take(command) {
			l.redis.Write(command.Raw)
		}
	}
}

// clientGone is called when the peer has closed its end. A reset takes with it what has not arrived.
func (l *lateLink) clientGone(err error) {
	l.proxy.mutex.Lock()
	defer l.proxy.mutex.Unlock()
	if !l.isHeld {
		l.redis.Close()
		return
	}
	if errors.Is(err, syscall.ECONNRESET) {
		l.held = nil
	}
	l.isGivenUp = true
}

func (l *lateLink) passReplies() {
	defer close(l.ended)
	defer func() {
		l.client.Close()
		l.redis.Close()
		l.proxy.mutex.Lock()
		delete(l.proxy.links, l)
		l.proxy.mutex.Unlock()
	}()
	from := bufio.NewReaderSize(l.redis, 1<<16)
	for {
		raw, isMessage, err := ReadReply(from)
		if err != nil {
			io.Copy(io.Discard, from)
			return
		}
		l.client.Write(raw)
		if !isMessage {
			l.countReply()
		}
	}
}

func (l *lateLink) countReply() {
	l.proxy.mutex.Lock()
	defer l.proxy.mutex.Unlock()
	if len(l.waiting) > 0 {
		l.proxy.replied[l.waiting[0]]++
		l.waiting = l.waiting[1:]
	}
}

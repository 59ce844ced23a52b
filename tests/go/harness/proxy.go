package harness

import (
	"bytes"
	"fmt"
	"math/rand"
	"net"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a peer and Redis on a unix socket. It can lose replies: Redis has executed the commands, but
// the connection dies before the answer arrives.
type Proxy struct {
	Socket   string
	upstream string
	listener net.Listener
	mutex    sync.Mutex
	random   *rand.Rand
	oneIn    int               // a reply is lost with this chance; 0: never
	Lost     map[string]int    // commands whose replies were lost, by kind
	names    map[string]string // script names by SHA-1
	open     map[net.Conn]bool
}

var proxies atomic.Int32

// StartProxy starts a proxy for a Redis; scripts name our scripts by their SHA-1.
func StartProxy(t testing.TB, r *Redis, scripts map[string]string) *Proxy {
	t.Helper()
	NeedsOneServer(t, "the proxy stands before one server")
	socket := filepath.Join(r.Dir, fmt.Sprint("proxy", proxies.Add(1)))
	p := &Proxy{Socket: socket, upstream: r.Socket, random: rand.New(rand.NewSource(4)),
		Lost: map[string]int{}, names: scripts, open: map[net.Conn]bool{}}
	var err error
	if p.listener, err = net.Listen("unix", p.Socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.listener.Close(); p.CutAll() })
	go p.accept()
	return p
}

// URI is the proxy's address in our library's form.
func (p *Proxy) URI() string { return "unix://" + p.Socket }

// LoseOneIn sets the chance to lose a reply.
func (p *Proxy) LoseOneIn(n int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.oneIn = n
}

// Counts returns what was lost so far.
func (p *Proxy) Counts() map[string]int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	counts := map[string]int{}
	for kind, count := range p.Lost {
		counts[kind] = count
	}
	return counts
}

// CutAll closes every connection.
func (p *Proxy) CutAll() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for conn := range p.open {
		conn.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.upstream)
		if err != nil {
			client.Close()
			continue
		}
		p.mutex.Lock()
		p.open[client], p.open[server] = true, true
		p.mutex.Unlock()
		link := &link{proxy: p, client: client, server: server}
		go link.requests()
		go link.replies()
	}
}

type link struct {
	proxy          *Proxy
	client, server net.Conn
	mutex          sync.Mutex
	kinds          []string // of the commands whose replies have not come yet
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
	l.proxy.mutex.Lock()
	delete(l.proxy.open, l.client)
	delete(l.proxy.open, l.server)
	l.proxy.mutex.Unlock()
}

var commandHead = regexp.MustCompile(`\*\d+\r\n\$\d+\r\n([A-Z]+)\r\n(?:\$40\r\n([0-9a-f]{40})\r\n)?`)

func (l *link) requests() {
	defer l.close()
	buffer := make([]byte, 1<<20)
	for {
		length, err := l.client.Read(buffer)
		if err != nil {
			return
		}
		l.mutex.Lock()
		for _, match := range commandHead.FindAllSubmatch(buffer[:length], -1) {
			kind := string(match[1])
			if name := l.proxy.names[string(match[2])]; name != "" {
				kind = name
			}
			l.kinds = append(l.kinds, kind)
		}
		l.mutex.Unlock()
		if _, err := l.server.Write(buffer[:length]); err != nil {
			return
		}
	}
}

func (l *link) replies() {
	defer l.close()
	buffer := make([]byte, 1<<20)
	for {
		length, err := l.server.Read(buffer)
		if err != nil {
			return
		}
		if l.lose(buffer[:length]) {
			return
		}
		if _, err := l.client.Write(buffer[:length]); err != nil {
			return
		}
	}
}

// lose decides whether the replies that just came are lost, and counts the commands.
func (l *link) lose(replies []byte) bool {
	l.mutex.Lock()
	kinds := l.kinds
	l.kinds = nil
	l.mutex.Unlock()
	l.proxy.mutex.Lock()
	defer l.proxy.mutex.Unlock()
	if l.proxy.oneIn == 0 || l.proxy.random.Intn(l.proxy.oneIn) != 0 || bytes.HasPrefix(replies, []byte("-")) {
		return false
	}
	for _, kind := range kinds {
		l.proxy.Lost[kind]++
	}
	return true
}

// ScriptNames reads the names of our scripts from the table made at build time.
func ScriptNames(t testing.TB) map[string]string {
	t.Helper()
	names := map[string]string{}
	text := readFile(t, filepath.Join(BuildDir(), "src/redis/scripts_gen.c"))
	rows := regexp.MustCompile(`\.name = "([^"]+)",\s+\.sha1 = "([0-9a-f]{40})"`).FindAllStringSubmatch(text, -1)
	for _, row := range rows {
		names[row[2]] = row[1]
	}
	if len(names) == 0 {
		t.Fatal(fmt.Errorf("no scripts found"))
	}
	return names
}

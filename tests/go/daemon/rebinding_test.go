package daemon

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// publicAddress is a public one, which is this machine's in the test's own network.
const publicAddress = "93.184.216.34"

// TestRebinding: a public name whose DNS says a private address, later, also, or by a redirect, does not lead there. It runs in a
// network of its own, with a DNS server that lies.
func TestRebinding(t *testing.T) {
	t.Parallel()
	if os.Getenv("ASYNQ_OWN_NETWORK") == "" {
		cmd := exec.Command("unshare", "--map-root-user", "--net", "--mount", "--fork", os.Args[0], "-test.run", "^TestRebinding$",
			"-test.v", "-test.timeout", "2m")
		cmd.Env = append(os.Environ(), "ASYNQ_OWN_NETWORK=1")
		output, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "--- PASS: TestRebinding") {
			t.Errorf("in its own network: %v\n%s", err, output)
		}
		return
	}
	for _, words := range []string{"link set lo up", "addr add " + publicAddress + "/32 dev lo"} {
		if output, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", words, err, output)
		}
	}
	resolver := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolver, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("mount", "--bind", resolver, "/etc/resolv.conf").CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, output)
	}
	dns := startDNS(t)
	var private atomic.Int32
	serve(t, "127.0.0.1:80", func(w http.ResponseWriter, _ *http.Request) { private.Add(1) })
	serve(t, "[::1]:80", func(w http.ResponseWriter, _ *http.Request) { private.Add(1) })
	serve(t, publicAddress+":80", func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
		fmt.Fprint(w, "public")
	})
	r := StartRedis(t)
	config := "redis: " + r.URI() + "\nroutes: [{type: t, http: {url: '{{payload}}', method: GET, max_redirects: 3}}]\n"
	try := func(d *Daemon, id, url string, wanted bool) {
		t.Helper()
		enqueue(t, r, id, "t", url)
		line := d.Attempt(id, 1)
		text, _ := line["error"].(string)
		if wanted != (line["outcome"] == "completed") || wanted == strings.Contains(text, "no public address") {
			t.Errorf("%s: %v", url, line)
		}
	}
	d := StartDaemon(t, config)
	dns.set("flip.test.", publicAddress)
	dns.set("both.test.", "127.0.0.1", publicAddress)
	dns.set("private.test.", "127.0.0.1")
	dns.set("metadata.test.", "169.254.169.254")
	try(d, "flip-before", "http://flip.test/", true)
	try(d, "private", "http://private.test/", false)
	try(d, "metadata", "http://metadata.test/", false)
	try(d, "redirect-name", "http://flip.test/?to=http://private.test/", false)
	try(d, "redirect-address", "http://flip.test/?to=http://127.0.0.1/", false)
	try(d, "redirect-six", "http://flip.test/?to=http://[::1]/", false)
	try(d, "both", "http://both.test/", true) // at the one of its addresses that may be asked
	dns.set("flip.test.", "127.0.0.1")
	second := StartDaemon(t, config) // has looked up nothing yet
	d.End()
	try(second, "flip-after", "http://flip.test/", false)
	if n := private.Load(); n != 0 {
		t.Errorf("the private servers were asked %d times", n)
	}
	if dns.asked("flip.test.") < 2 {
		t.Errorf("nobody asked the DNS server again")
	}
}

func serve(t *testing.T, address string, handle http.HandlerFunc) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handle}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
}

// liar is a DNS server that says what it is told.
type liar struct {
	mutex     sync.Mutex
	addresses map[string][]string
	questions map[string]int
}

func (l *liar) set(name string, addresses ...string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.addresses[name] = addresses
}

func (l *liar) asked(name string) int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.questions[name]
}

func startDNS(t *testing.T) *liar {
	l := &liar{addresses: map[string][]string{}, questions: map[string]int{}}
	socket, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := l.answer(buffer[:n]); answer != nil {
				socket.WriteTo(answer, from)
			}
		}
	}()
	return l
}

// answer makes a response with the A records of the first question.
func (l *liar) answer(query []byte) []byte {
	name, at := "", 12
	for at < len(query) && query[at] != 0 {
		length := int(query[at])
		if at+1+length > len(query) {
			return nil
		}
		name += strings.ToLower(string(query[at+1:at+1+length])) + "."
		at += 1 + length
	}
	if at+5 > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	question := query[12 : at+5]
	l.mutex.Lock()
	addresses := l.addresses[name]
	l.questions[name]++
	l.mutex.Unlock()
	if kind != 1 {
		addresses = nil // there are no AAAA records
	}
	answer := append([]byte{}, query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0)
	answer = append(answer, question...)
	for _, address := range addresses {
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		answer = append(answer, net.ParseIP(address).To4()...)
	}
	return answer
}

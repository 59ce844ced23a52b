package daemon

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"golang.org/x/sys/unix"
)

// address is where a daemon's endpoints are.
func address(d *Daemon) string { return strings.TrimPrefix(d.URL(), "http://") }

// raw sends bytes, and returns what is answered until the connection ends.
func raw(t testing.TB, d *Daemon, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", address(d))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, request)
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%.200q: %v", request, err)
	}
	return string(answer)
}

// halves opens connections that send half a request, until the test ends.
func halves(t testing.TB, d *Daemon, n int) (opened []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.DialTimeout("tcp", address(d), 10*time.Second)
		if err != nil {
			break // the line is full
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "GET / HTTP/1.1\r\nX-Long: ")
		opened = append(opened, c)
	}
	return opened
}

// isClosed waits until the daemon has closed a connection.
func isClosed(c net.Conn, within time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !os.IsTimeout(err)
}

func isAlive(d *Daemon) bool {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(d.URL() + "/healthz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == 200
}

// cpu is the time that a daemon has computed.
func cpu(t testing.TB, d *Daemon) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var user, system int64
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestEndpointsWithoutDescriptors: when no connection can be accepted, that is one line of the log and no work; health goes on
// being answered, as connections that ask nothing are closed.
func TestEndpointsWithoutDescriptors(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [cat]}}]\n")
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	few := &unix.Rlimit{Cur: uint64(len(open) + 10), Max: uint64(len(open) + 10)}
	if err := unix.Prlimit(d.Pid(), unix.RLIMIT_NOFILE, few, nil); err != nil {
		t.Fatal(err)
	}
	before := cpu(t, d)
	halves(t, d, 100)
	Eventually(t, 30*time.Second, "a line about it", func() bool { return len(d.Find("accept failed: Too many open files")) > 0 })
	Eventually(t, 60*time.Second, "/healthz", func() bool { return isAlive(d) })
	time.Sleep(2 * time.Second) // in which nothing is to be done
	if used := cpu(t, d) - before; used > time.Second {
		t.Errorf("it has computed for %v", used)
	}
	if lines := d.Lines(); len(lines) > 20 {
		t.Errorf("%d lines of the log, such as %v", len(lines), lines[len(lines)-1])
	}
	for _, line := range d.Lines() {
		if line["level"] == "?" {
			t.Errorf("no line of the log: %v", line)
		}
	}
}

// TestManyConnections: there are no more than allowed, and those that ask nothing make room.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nendpoints: {max_connections: 20}\n")
	sockets := func() int {
		n := 0
		files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Pid()))
		for _, file := range files {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", d.Pid(), file.Name()))
			if strings.HasPrefix(target, "socket:") {
				n++
			}
		}
		return n
	}
	before := sockets()
	opened := halves(t, d, 200)
	for range 20 {
		if !isAlive(d) {
			t.Fatal("/healthz is not answered")
		}
		if n := sockets() - before; n > 22 { // a turn's worth more
			t.Errorf("%d connections", n)
		}
	}
	if !isClosed(opened[0], 30*time.Second) {
		t.Error("the first of 200 silent connections is still open")
	}
}

// TestSlowRequests: a request has one time limit from its first to its last byte, however busily it trickles.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nendpoints: {request_timeout: 2s}\n")
	for _, begin := range []string{"", "GET / HTTP/1.1\r\nX: ", "POST /v1/tasks HTTP/1.1\r\nContent-Length: 10000\r\n\r\n"} {
		c, err := net.Dial("tcp", address(d))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, begin)
		Eventually(t, 60*time.Second, "the end of "+begin, func() bool {
			io.WriteString(c, "x")
			return isClosed(c, 100*time.Millisecond)
		})
	}
	// One that asks is let be: each answer begins the time anew.
	client := http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	for range 8 {
		answer, err := client.Get(d.URL() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		time.Sleep(500 * time.Millisecond)
	}
}

// TestScrapesBehindRedis: while Redis does not answer, requests for metrics do not heap up.
func TestScrapesBehindRedis(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\n")
	r.Stop()
	defer r.Continue()
	var refused atomic.Int32
	var wait sync.WaitGroup
	for range 30 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if status, body := ask(t, "GET", d.URL()+"/metrics", ""); status == 503 && strings.Contains(body, "wait for Redis already") {
				refused.Add(1)
			} else if status != 200 {
				t.Errorf("%d %s", status, body)
			}
		}()
	}
	Eventually(t, 30*time.Second, "refusals", func() bool { return refused.Load() >= 10 })
	r.Continue()
	wait.Wait()
}

// TestAmbiguousRequests: what another server in front may read as another request is refused, and the connection ends.
func TestAmbiguousRequests(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\n")
	const task = `{"type": "a"}`
	for _, test := range []struct {
		headers string
		status  int
	}{
		{"Content-Length: 13", 201},
		{"Content-Length: 13\r\nContent-Length: 13", 201},
		{"Content-Length: 13\r\nContent-Length: 14", 400},
		{"Content-Length: 13\r\ncontent-length: 0", 400},
		{"Content-Length: +13", 400},
		{"Content-Length: 0x0d", 400},
		{"Content-Length: 13, 13", 400},
		{"Content-Length: ", 400},
		{"Content-Length: -1", 400},
		{"Content-Length : 13", 400},
		{"Content-Length: 13\r\nTransfer-Encoding: chunked", 400},
		{"Transfer-Encoding: gzip, chunked\r\nContent-Length: 13", 400},
		{"Transfer-Encoding: identity\r\nContent-Length: 13", 400},
		{"Content-Length: 99999999999999999999", 413},
	} {
		answer := raw(t, d, "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+test.headers+
			"\r\nConnection: close\r\n\r\n"+task+"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", test.status)) || strings.Count(answer, "HTTP/1.1 ") != 1 {
			t.Errorf("%q: %s", test.headers, answer)
		}
	}
}

// TestAnswersAreJSON: whatever is asked, the answer has the form that docs/openapi.yaml tells, and a line end.
func TestAnswersAreJSON(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nendpoints: {max_body_size: 20kB}\n")
	for _, test := range []struct{ request, status, want string }{
		{"garbage", "400", `cannot be read`},
		{"GET /metrics", "400", `cannot be read`},
		{"GET / HTTP/1.1\r\nno colon", "400", `cannot be read`},
		{"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 20000), "400", `cannot be read`},
		{"BREW / HTTP/1.1", "501", `no such method`},
		{"TRACE / HTTP/1.1", "501", `no such method`},
		{"PUT /metrics HTTP/1.1", "405", "\r\nAllow: GET, HEAD\r\n"},
		{"PATCH /v1/tasks HTTP/1.1", "405", "\r\nAllow: POST\r\n"},
		{"OPTIONS /v1/tasks HTTP/1.1", "405", "\r\nAllow: POST\r\n"},
		{"GET //metrics HTTP/1.1", "404", `there is nothing at //metrics`},
		{"POST /v1/tasks HTTP/1.1\r\nContent-Length: 30000", "413", `larger than endpoints.max_body_size, 20kB`},
		{"POST /v1/tasks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "413", `chunks cannot be read`},
		{"POST /v1/tasks HTTP/1.1\r\nExpect: wonders\r\nContent-Length: 1", "417", `Expect`},
		{"GET /healthz HTTP/1.1", "200", `{"status":"alive"}`},
		{"GET /readyz HTTP/1.1", "200", `"ready"`},
		{"GET /scale HTTP/1.1", "", ``},
		{"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"type\": \"a\"}", "201", `"created"`},
	} {
		head, body, found := strings.Cut(test.request, "\r\n\r\n")
		if !found {
			body = ""
		}
		answer := raw(t, d, head+"\r\nConnection: close\r\n\r\n"+body)
		_, text, _ := strings.Cut(answer, "\r\n\r\n")
		var m M
		if !strings.HasPrefix(answer, "HTTP/1.1 "+test.status) || !strings.Contains(answer, test.want) ||
			!strings.Contains(answer, "Content-Type: application/json\r\n") || json.Unmarshal([]byte(text), &m) != nil ||
			!strings.HasSuffix(text, "}\n") || (test.status >= "4" && m["error"] == nil) {
			t.Errorf("%.100q: %s", test.request, answer)
		}
	}
	if answer := raw(t, d, "HEAD /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(answer, "\r\n\r\n") ||
		!strings.Contains(answer, "\r\nContent-Length: 19\r\n") {
		t.Errorf("HEAD has a body, or no length: %q", answer)
	}
}

// makeCertificate makes dir/crt with its dir/key.
func makeCertificate(t *testing.T, dir, name string) {
	t.Helper()
	run := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
		filepath.Join(dir, "key"), "-out", filepath.Join(dir, "crt"), "-days", "2", "-subj", "/CN="+name)
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// TestRenewedCertificate: HUP has the endpoints show the certificate that is in the file by then; a broken one is told, and the
// old one stays.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	dir := t.TempDir()
	makeCertificate(t, dir, "first")
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [cat]}}]\nendpoints: {cert_file: "+dir+"/crt, key_file: "+dir+"/key}\n")
	shown := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(d.URL(), "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if name := shown(); name != "first" {
		t.Fatal(name)
	}
	makeCertificate(t, dir, "second")
	d.Signal(1) // HUP
	Eventually(t, 30*time.Second, "the second certificate", func() bool { return shown() == "second" })
	if err := os.WriteFile(filepath.Join(dir, "crt"), []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Signal(1)
	Eventually(t, 30*time.Second, "a complaint", func() bool { return len(d.Find(dir+"/crt")) > 0 })
	if name := shown(); name != "second" {
		t.Errorf("with a broken file: %s", name)
	}
}

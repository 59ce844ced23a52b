package daemon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"encoding/pem"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// target is a server that does what the path says, and remembers what it was asked.
type target struct {
	*httptest.Server
	mutex    sync.Mutex
	requests []*request
	running  atomic.Int32
	highest  atomic.Int32
	gone     atomic.Int32 // clients that went away
	open     chan bool    // closed: requests for /held are answered
}

type request struct {
	*http.Request
	body string
}

func (s *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mutex.Lock()
	s.requests = append(s.requests, &request{r, string(body)})
	s.mutex.Unlock()
	running := s.running.Add(1)
	defer s.running.Add(-1)
	for highest := s.highest.Load(); running > highest && !s.highest.CompareAndSwap(highest, running); highest = s.highest.Load() {
	}
	what, argument, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	number, _ := strconv.Atoi(argument)
	switch what {
	case "status":
		w.WriteHeader(number)
		fmt.Fprintf(w, "because %d", number)
	case "sleep":
		select {
		case <-time.After(time.Duration(number) * time.Millisecond):
			fmt.Fprint(w, "slept")
		case <-r.Context().Done():
			s.gone.Add(1)
		}
	case "held":
		select {
		case <-s.open:
		case <-r.Context().Done():
		}
	case "later":
		w.Header().Set("Retry-After", r.URL.Query().Get("after"))
		w.WriteHeader(number)
	case "bytes":
		w.Write([]byte(strings.Repeat("x", number)))
	case "redirect":
		http.Redirect(w, r, r.URL.Query().Get("to"), number)
	case "hang-up":
		connection, _, _ := w.(http.Hijacker).Hijack()
		connection.Close()
	default:
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), body)
	}
}

// last is the newest request for a path.
func (s *target) last(t testing.TB, prefix string) *request {
	t.Helper()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i := len(s.requests) - 1; i >= 0; i-- {
		if strings.HasPrefix(s.requests[i].URL.RequestURI(), prefix) {
			return s.requests[i]
		}
	}
	t.Fatalf("nobody asked for %s", prefix)
	return nil
}

func startTarget(t testing.TB) *target {
	s := &target{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// TestHTTP: what a request looks like, and what becomes of each answer.
func TestHTTP(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	closed := FreePort(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 20
routes:
  - {type: "plain", http: {url: "`+s.URL+`/plain"}}
  - {type: "get", http: {url: "`+s.URL+`/get?a={{payload.a}}&n={{payload.n}}", method: GET}}
  - {type: "put", http: {url: "`+s.URL+`/put/{{payload.id}}/{{task.id}}", method: PUT, body: '{"who": "{{payload.name}}", "all": {{payload}}, "none": {{payload.none?}}, "n": {{task.retried}}, "type": "{{task.type}}"}'}}
  - {type: "form", http: {url: "`+s.URL+`/form", content_type: application/x-www-form-urlencoded, body: '{{payload.a}}={{payload.b}}&q={{task.queue}}'}}
  - {type: "text", http: {url: "`+s.URL+`/text", content_type: text/plain, body: 'Hello {{payload.a}}!', headers: {X-A: "a {{payload.a}}", X-Empty: "", User-Agent: me}}}
  - {type: "empty", http: {url: "`+s.URL+`/empty", body: "", task_headers: false}}
  - {type: "url", http: {url: "{{payload.url}}", method: GET, targets: {private_addresses: allow}}}
  - {type: "status", http: {url: "`+s.URL+`/status/{{payload}}", permanent_statuses: [4xx, 501], success_statuses: [2xx, 418], retryable_statuses: [429, 5xx, 404]}}
  - {type: "sleep", http: {url: "`+s.URL+`/sleep/60000", timeout: 300ms}}
  - {type: "refused", http: {url: "http://127.0.0.1:`+strconv.Itoa(closed)+`/"}}
  - {type: "unknown", http: {url: "http://no-such-host.invalid/", permanent_errors: [dns]}}
  - {type: "hang-up", http: {url: "`+s.URL+`/hang-up"}}
  - {type: "bytes", http: {url: "`+s.URL+`/bytes/{{payload}}", result_limit: 10kB}}
  - {type: "redirect", http: {url: "`+s.URL+`/redirect/{{payload.status}}?to={{payload.to}}", max_redirects: 3}}
  - {type: "stay", http: {url: "`+s.URL+`/redirect/302?to=/plain"}}
  - {type: "signed", http: {url: "`+s.URL+`/signed", signature: {key: "s3cret"}}}
  - {type: "later", http: {url: "`+s.URL+`/later/{{payload.status}}?after={{payload.after}}", retry_after_limit: 2m}}
  - {type: "patient", retry: {policy: constant, initial_delay: 1m}, http: {url: "`+s.URL+`/later/{{payload.status}}?after={{payload.after}}"}}
`)
	for _, test := range []struct{ id, taskType, payload, result, failure string }{
		{"plain", "plain", "\x00binary\xff", "POST /plain \x00binary\xff", ""},
		{"get", "get", `{"a": "x&y=z/..?#%", "n": 1.5}`, "GET /get?a=x%26y%3Dz%2F..%3F%23%25&n=1.5 ", ""},
		{"put", "put", `{"id": "../x y", "name": "A \"quoted\" name\n"}`,
			`PUT /put/..%2Fx%20y/put {"who": "A \"quoted\" name\n", "all": {"id": "../x y", "name": "A \"quoted\" name\n"}, "none": null, "n": 0, "type": "put"}`, ""},
		{"dots", "put", `{"id": "..", "name": "x"}`, "", `{{payload.id}} is "." or ".."`},
		{"form", "form", `{"a": "k&", "b": "v=w"}`, `POST /form k%26=v%3Dw&q=default`, ""},
		{"text", "text", `{"a": "Grüße"}`, `POST /text Hello Grüße!`, ""},
		{"injected", "text", `{"a": "x\r\nX-Evil: yes"}`, ``, `{{payload.a}} has a control character, which cannot stand in a header`},
		{"empty", "empty", `ignored`, `POST /empty `, ""},
		{"url", "url", `{"url": "` + s.URL + `/from/payload?x=1"}`, `GET /from/payload?x=1 `, ""},
		{"no-url", "url", `{"url": "file:///etc/passwd"}`, ``, `"file:///etc/passwd" is no URL of HTTP`},
		{"secret-url", "url", `{"url": "ftp://me:hidden@a.example/x?key=hidden"}`, ``, `"...@a.example/x..." is no URL of HTTP`},
		{"bad-url", "url", `{"url": "http://a b/"}`, ``, `"http://a b/" is no URL of HTTP`},
		{"no-member", "url", `{}`, ``, `{{payload.url}} is not in the payload`},
		{"status-204", "status", "204", "", ""},
		{"status-418", "status", "418", "because 418", ""},
		{"status-400", "status", "400", "because 400", "HTTP status 400 of 127.0.0.1:"},
		{"status-501", "status", "501", "because 501", "HTTP status 501 of 127.0.0.1:"},
		{"unknown", "unknown", "", "", "no-such-host.invalid:80: Could not resolve host: no-such-host.invalid"},
		{"bytes-10000", "bytes", "10000", strings.Repeat("x", 10000), ""},
		{"bytes-10001", "bytes", "10001", strings.Repeat("x", 10000), ""},
		{"redirect-301", "redirect", `{"status": 301, "to": "/a"}`, `POST /a {"status": 301, "to": "/a"}`, ""},
		{"redirect-302", "redirect", `{"status": 302, "to": "/a"}`, `POST /a {"status": 302, "to": "/a"}`, ""},
		{"redirect-303", "redirect", `{"status": 303, "to": "/a"}`, `POST /a {"status": 303, "to": "/a"}`, ""},
		{"redirect-307", "redirect", `{"status": 307, "to": "/a"}`, `POST /a {"status": 307, "to": "/a"}`, ""},
		{"redirect-file", "redirect", `{"status": 302, "to": "file:///etc/passwd"}`, "", "127.0.0.1:"},
		{"stay", "stay", "", "", "HTTP status 302 of 127.0.0.1:"},
		{"signed", "signed", "body", "POST /signed body", ""},
	} {
		enqueue(t, r, test.id, test.taskType, test.payload)
		task := settled(t, r, d, test.id)
		want := asynq.TaskStateCompleted
		if test.failure != "" {
			want = asynq.TaskStateArchived
		}
		if task.State != want || string(task.Result) != test.result || !strings.HasPrefix(task.LastErr, test.failure) ||
			(test.failure == "") != (task.LastErr == "") {
			t.Errorf("%s: %v, result %.200q, error %q", test.id, task.State, task.Result, task.LastErr)
		}
	}
	if line := d.Attempt("bytes-10000", 1); line["result"] != nil {
		t.Errorf("a whole result is noted as cut: %v", line)
	}
	if line := d.Attempt("bytes-10001", 1); line["result"] != "cut" || line["http_status"] != 200.0 {
		t.Errorf("a cut result is not noted: %v", line)
	}
	retries(t, r, d)
	headers(t, s)
}

// retries: failures that are tried again, and when.
func retries(t *testing.T, r *Redis, d *Daemon) {
	for _, test := range []struct{ id, taskType, payload, failure, class, lowest, highest string }{
		{"status-404", "status", "404", "HTTP status 404 of 127.0.0.1:", "http_status", "15s", "46s"},
		{"status-500", "status", "500", "HTTP status 500 of 127.0.0.1:", "http_status", "15s", "46s"},
		{"status-299", "later", `{"status": 199, "after": "7"}`, "", "http_status", "", ""},
		{"sleep", "sleep", "", "no answer of 127.0.0.1:", "timeout", "15s", "46s"},
		{"refused", "refused", "", "127.0.0.1:", "connect", "15s", "46s"},
		{"hang-up", "hang-up", "", "127.0.0.1:", "connect", "15s", "46s"},
		{"later-429", "later", `{"status": 429, "after": "77"}`, "HTTP status 429", "http_status", "75s", "77s"},
		{"later-503", "later", `{"status": 503, "after": "` + time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat) + `"}`, "HTTP status 503", "http_status", "80s", "91s"},
		{"later-most", "later", `{"status": 503, "after": "999999"}`, "HTTP status 503", "http_status", "118s", "120s"},
		{"later-huge", "later", `{"status": 429, "after": "100000000000000000000"}`, "HTTP status 429", "http_status", "118s", "120s"},
		{"later-exponent", "later", `{"status": 429, "after": "1e3"}`, "HTTP status 429", "http_status", "15s", "46s"},
		{"later-shorter", "patient", `{"status": 429, "after": "1"}`, "HTTP status 429", "http_status", "60s", "60s"},
		{"later-longer", "patient", `{"status": 503, "after": "77"}`, "HTTP status 503", "http_status", "76s", "77s"},
		{"later-500", "later", `{"status": 500, "after": "77"}`, "HTTP status 500", "http_status", "15s", "46s"},
		{"later-odd", "later", `{"status": 429, "after": "soon"}`, "HTTP status 429", "http_status", "15s", "46s"},
	} {
		if test.lowest == "" {
			continue
		}
		enqueue(t, r, test.id, test.taskType, test.payload, asynq.MaxRetry(3))
		line := d.Attempt(test.id, 1)
		lowest, _ := time.ParseDuration(test.lowest)
		highest, _ := time.ParseDuration(test.highest)
		pause := time.Duration(line["next_in_ms"].(float64)) * time.Millisecond
		if text, _ := line["error"].(string); line["outcome"] != "retried" || line["error_class"] != test.class ||
			!strings.HasPrefix(text, test.failure) || pause < lowest-2*time.Second || pause > highest {
			t.Errorf("%s: %v", test.id, line)
		}
	}
}

func headers(t *testing.T, s *target) {
	want := func(r *request, name, value string) {
		t.Helper()
		if got := strings.Join(r.Header[name], "|"); got != value {
			t.Errorf("%s: header %s is %q, want %q", r.URL.Path, name, got, value)
		}
	}
	plain := s.last(t, "/plain")
	want(plain, "Idempotency-Key", "plain")
	want(plain, "Asynq-Task-Type", "plain")
	want(plain, "Asynq-Queue", "default")
	want(plain, "Asynq-Retried", "0")
	want(plain, "Content-Type", "application/json")
	want(plain, "User-Agent", "asynqd/"+Version(t))
	text := s.last(t, "/text")
	want(text, "X-A", "a Grüße")
	want(text, "X-Empty", "")
	if _, is := text.Header["X-Empty"]; !is {
		t.Error("the empty header is missing")
	}
	want(text, "User-Agent", "me")
	want(text, "X-Evil", "")
	empty := s.last(t, "/empty")
	want(empty, "Idempotency-Key", "")
	want(empty, "Content-Type", "")
	signed := s.last(t, "/signed")
	at, signature, _ := strings.Cut(signed.Header.Get("Asynq-Signature"), ",v1=")
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write([]byte(strings.TrimPrefix(at, "t=") + ".body"))
	if seconds, _ := strconv.ParseInt(strings.TrimPrefix(at, "t="), 10, 64); time.Since(time.Unix(seconds, 0)) > time.Minute ||
		signature != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %q", signed.Header.Get("Asynq-Signature"))
	}
}

// TestHTTPCancel: cancelling ends the transfer, so does the deadline, and so does the end of the daemon.
func TestHTTPCancel(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
shutdown_timeout: 300ms
routes:
  - {type: "sleep", http: {url: "`+s.URL+`/sleep/60000"}}
`)
	gone := func(n int32) {
		t.Helper()
		Eventually(t, 20*time.Second, "the client to go", func() bool { return s.gone.Load() == n })
	}
	enqueue(t, r, "cancelled", "sleep", "")
	Eventually(t, 20*time.Second, "the request", func() bool { return s.running.Load() == 1 })
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	if err := inspector.CancelProcessing("cancelled"); err != nil {
		t.Fatal(err)
	}
	gone(1)
	enqueue(t, r, "late", "sleep", "", asynq.Timeout(time.Second))
	gone(2)
	if line := d.Attempt("late", 1); line["outcome"] != "archived" {
		t.Errorf("late: %v", line)
	}
	enqueue(t, r, "last", "sleep", "")
	Eventually(t, 20*time.Second, "the request", func() bool { return s.running.Load() == 1 })
	d.End()
	gone(3)
	if task := info(t, r, "last"); task.State != asynq.TaskStatePending || task.Retried != 0 {
		t.Errorf("last: %v", task)
	}
}

// TestHTTPTrace: the trace of a task goes on in its call.
func TestHTTPTrace(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, http: {url: '"+s.URL+"/traced'}}]\n")
	parent, state := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=value"
	for id, headers := range map[string]map[string]string{
		"traced": {"traceparent": parent, "tracestate": state},
		"forged": {"traceparent": "00-x\r\nX-Evil: yes", "tracestate": state},
		"plain":  {},
	} {
		enqueueTask(t, r, id, asynq.NewTaskWithHeaders("t", nil, headers))
		line := d.Attempt(id, 1)
		got := s.last(t, "/traced").Header
		want, trace := headers["traceparent"], any("0af7651916cd43dd8448eb211c80319c")
		if id != "traced" {
			want, trace = "", nil
		}
		if got.Get("Traceparent") != want || got.Get("Tracestate") != headers["tracestate"] || got.Get("X-Evil") != "" || line["trace_id"] != trace {
			t.Errorf("%s: %v, %v", id, got, line)
		}
	}
}

// TestHTTPProxy: calls go through the proxy that is configured, and through none that the environment names; names are still
// checked.
func TestHTTPProxy(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	var proxied atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		proxied.Add(1)
		fmt.Fprintf(w, "%s by proxy", request.URL)
	}))
	defer proxy.Close()
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "proxied", http: {url: "http://far.example/x", proxy: "`+proxy.URL+`", targets: {deny: [bad.example]}}}
  - {type: "free", http: {url: "{{payload}}", proxy: "`+proxy.URL+`", targets: {deny: [bad.example]}}}
  - {type: "direct", http: {url: "`+s.URL+`/direct"}}
`)
	for _, test := range []struct{ id, taskType, payload, result, failure string }{
		{"proxied", "proxied", "", "http://far.example/x by proxy", ""},
		{"denied", "free", "http://bad.example/", "", "bad.example is denied"},
		{"literal", "free", "http://127.0.0.1/", "", "is no public address"},
		{"localhost", "free", "http://localhost:1/x", "", "localhost is no public name"},
		{"single", "free", "http://vm/x", "", "vm is no public name"},
		{"internal", "free", "http://Metadata.Google.Internal./x", "", "is no public name"},
		{"direct", "direct", "", "POST /direct ", ""},
	} {
		enqueue(t, r, test.id, test.taskType, test.payload)
		if task := settled(t, r, d, test.id); string(task.Result) != test.result || !strings.Contains(task.LastErr, test.failure) {
			t.Errorf("%s: %q, %q", test.id, task.Result, task.LastErr)
		}
	}
	if n := proxied.Load(); n != 1 {
		t.Errorf("the proxy was asked %d times", n)
	}
}

// TestHTTPPerHost: the limit per host holds, and nothing is lost over it.
func TestHTTPPerHost(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 100
routes:
  - {type: "sleep", http: {url: "`+s.URL+`/sleep/250", max_connections_per_host: 3}}
`)
	for i := range 30 {
		enqueue(t, r, fmt.Sprint("task-", i), "sleep", "")
	}
	Eventually(t, 60*time.Second, "all to be done", func() bool { return len(d.Attempts("")) == 30 })
	if highest := s.highest.Load(); highest != 3 { // on a slow machine calls of 20 ms did not even meet
		t.Errorf("%d requests at once", highest)
	}
	for _, line := range d.Attempts("") {
		if line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
}

// TestHTTPOverTLS: certificates are checked, HTTP/2 is spoken where it can be, and connections are used again.
func TestHTTPOverTLS(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := &target{open: make(chan bool)}
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = true
	var connections atomic.Int32
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 50
routes:
  - {type: "held", http: {url: "`+s.URL+`/held", tls: {ca_file: `+ca+`}}}
  - {type: "known", http: {url: "`+s.URL+`/sleep/100", tls: {ca_file: `+ca+`}}}
  - {type: "one", http: {url: "`+s.URL+`/one", http_version: "1.1", tls: {ca_file: `+ca+`}}}
  - {type: "unknown", http: {url: "`+s.URL+`/unknown"}}
  - {type: "careless", http: {url: "`+s.URL+`/careless", tls: {verify: false}}}
`)
	enqueue(t, r, "unknown", "unknown", "")
	if line := d.Attempt("unknown", 1); line["error_class"] != "tls" {
		t.Errorf("unknown: %v", line)
	}
	connections.Store(0)
	// A request that lasts: libcurl gives up an idle connection when anything of TLS waits to be read on it, as it may at any time.
	enqueue(t, r, "held", "held", "")
	Eventually(t, 30*time.Second, "the first request", func() bool { return s.running.Load() == 1 })
	for i := range 40 {
		enqueue(t, r, fmt.Sprint("known-", i), "known", "")
	}
	for i := range 40 {
		if line := d.Attempt(fmt.Sprint("known-", i), 1); line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
	close(s.open)
	if line := d.Attempt("held", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 41 requests", n)
	}
	if version := s.last(t, "/sleep").Proto; version != "HTTP/2.0" {
		t.Errorf("spoken was %s", version)
	}
	for _, id := range []string{"one", "careless"} {
		enqueue(t, r, id, id, "")
		if line := d.Attempt(id, 1); line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
	if version := s.last(t, "/one").Proto; version != "HTTP/1.1" {
		t.Errorf("spoken was %s", version)
	}
}

// TestHTTPTargets: what is not public is not reached by URLs from tasks, whatever name, redirect or form of address leads
// there; lists decide on the rest.
func TestHTTPTargets(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	at := func(host string) string { return "http://" + host + ":" + port }
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 20
routes:
  - {type: "free", http: {url: "{{payload}}", method: GET, max_redirects: 5, connect_timeout: 2s, retryable_statuses: []}}
  - {type: "own", http: {url: "`+at("127.0.0.1")+`/redirect/302?to={{payload}}", method: GET, max_redirects: 5}}
  - {type: "path", http: {url: "`+at("127.0.0.1")+`/{{payload}}", method: GET}}
  - {type: "named", http: {url: "{{payload}}", method: GET, targets: {allow: [localhost, 127.0.0.1/32]}}}
  - {type: "other", http: {url: "{{payload}}", method: GET, targets: {allow: ["*.example.com"], private_addresses: allow}}}
  - {type: "denied", http: {url: "{{payload}}", method: GET, max_redirects: 5, targets: {deny: [localhost, 127.0.0.0/8], private_addresses: allow}}}
  - {type: "never", http: {url: "`+at("127.0.0.1")+`/never", method: GET, targets: {private_addresses: deny}}}
  - {type: "open", http: {url: "{{payload}}", method: GET, targets: {private_addresses: allow}}}
`)
	private := "no public address"
	for i, test := range []struct{ taskType, payload, failure string }{
		{"open", at("127.0.0.1") + "/open", ""}, // leaves a connection that others could use
		{"free", at("127.0.0.1") + "/free", "127.0.0.1 (127.0.0.1) is " + private},
		{"free", at("localhost") + "/free", "localhost ("},
		{"free", at("127.1") + "/free", private},
		{"free", at("2130706433") + "/free", private},
		{"free", at("0x7f.1") + "/free", private},
		{"free", at("0") + "/free", private},
		{"free", at("[::1]") + "/free", private},
		{"free", at("[::ffff:127.0.0.1]") + "/free", private},
		{"free", at("[::ffff:7f00:1]") + "/free", private},
		{"free", at("[64:ff9b::7f00:1]") + "/free", private},
		{"free", at("example.com@127.0.0.1") + "/free", private},
		{"free", "http://169.254.169.254/latest/meta-data/", private},
		{"free", "http://10.0.0.1/", private},
		{"free", "http://[fe80::1]/", private},
		{"own", "/there", ""},
		{"own", at("127.0.0.1") + "/there", ""},
		{"own", at("localhost") + "/free", "localhost ("},
		{"own", "http://169.254.169.254/latest/meta-data/", private},
		{"own", "gopher://127.0.0.1/", "127.0.0.1:"},
		{"path", "status/200", ""},
		{"path", "@evil", ""},
		{"named", at("127.0.0.1") + "/named", ""},
		{"named", at("localhost") + "/named", ""},
		{"named", "http://93.184.216.34/", "is not among the allowed targets"},
		{"other", at("127.0.0.1") + "/other", "is not among the allowed targets"},
		{"other", at("example.com.evil.invalid") + "/other", "evil.invalid"},
		{"denied", at("127.0.0.1") + "/denied", "is denied by the configuration"},
		{"denied", at("LOCALHOST") + "/denied", "is denied by the configuration"},
		{"never", "", private},
	} {
		id := fmt.Sprint("target-", i)
		enqueue(t, r, id, test.taskType, test.payload)
		line := d.Attempt(id, 1)
		text, _ := line["error"].(string)
		if (test.failure == "") != (line["outcome"] == "completed") || !strings.Contains(text, test.failure) {
			t.Errorf("%s %s: %v", test.taskType, test.payload, line)
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, request := range s.requests {
		if path := request.URL.Path; path == "/free" || path == "/denied" || path == "/never" || path == "/other" {
			t.Errorf("%s was reached", path)
		}
	}
}

// TestOneRequestAnAttempt: a server that closes connections without an answer gets one request for each attempt, also on
// connections that were used before.
func TestOneRequestAnAttempt(t *testing.T) {
	t.Parallel()
	r, s := StartRedis(t), startTarget(t)
	d := StartDaemon(t, "redis: "+r.URI()+`
routes:
  - {type: "fine", http: {url: "`+s.URL+`/sleep/200"}}
  - {type: "hang-up", http: {url: "`+s.URL+`/hang-up/{{task.id}}"}, retry: {initial_delay: 50ms}}
  - {type: "moved", http: {url: "`+s.URL+`/redirect/307?to=/hang-up/{{task.id}}", max_redirects: 5}, retry: {initial_delay: 50ms}}
`)
	for i := range 8 {
		enqueueAs(t, r, fmt.Sprint("fine ", i), "fine", "")
	}
	for i := range 8 {
		d.Attempt(fmt.Sprint("fine ", i), 1)
	}
	for _, kind := range []string{"hang-up", "moved"} {
		enqueueAs(t, r, kind, kind, "{}", asynq.MaxRetry(2))
		last := d.Attempt(kind, 3)
		if last["outcome"] != "archived" || last["error_class"] != "connect" {
			t.Errorf("%s: %v", kind, last)
		}
		count := 0
		s.mutex.Lock()
		for _, request := range s.requests {
			if request.URL.Path == "/hang-up/"+kind {
				count++
			}
		}
		s.mutex.Unlock()
		if count != 3 {
			t.Errorf("%s: %d requests in three attempts", kind, count)
		}
	}
}

// TestRedirectsElsewhere: what is configured for one host goes to no other; without such things a redirect is followed.
func TestRedirectsElsewhere(t *testing.T) {
	t.Parallel()
	s, other, r := startTarget(t), startTarget(t), StartRedis(t)
	url := s.URL + "/redirect/307?to={{payload}}"
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "plain", http: {url: "`+url+`", max_redirects: 3, targets: {private_addresses: allow}}}
  - {type: "headers", http: {url: "`+url+`", max_redirects: 3, headers: {X-Api-Key: s3cret}, targets: {private_addresses: allow}}}
  - {type: "signed", http: {url: "`+url+`", max_redirects: 3, signature: {key: s3cret}, targets: {private_addresses: allow}}}
`)
	for _, kind := range []string{"plain", "headers", "signed"} {
		enqueue(t, r, kind+"-here", kind, s.URL+"/here")
		if task := settled(t, r, d, kind+"-here"); task.State != asynq.TaskStateCompleted {
			t.Errorf("%s: %q", task.ID, task.LastErr)
		}
		enqueue(t, r, kind+"-there", kind, other.URL+"/there")
		task := settled(t, r, d, kind+"-there")
		if kind == "plain" {
			if string(task.Result) != "POST /there "+other.URL+"/there" {
				t.Errorf("%s: %q, %q", task.ID, task.Result, task.LastErr)
			}
			continue
		}
		if task.State != asynq.TaskStateArchived || !strings.Contains(task.LastErr, "is not followed, as `"+map[string]string{"headers": "headers", "signed": "signature"}[kind]+"` of the route is for 127.0.0.1:") {
			t.Errorf("%s: %v, %q", task.ID, task.State, task.LastErr)
		}
	}
	other.mutex.Lock()
	defer other.mutex.Unlock()
	if len(other.requests) != 1 {
		t.Errorf("%d requests went elsewhere", len(other.requests))
	}
}

// TestKeptConnections: a small answer that nobody wants does not cost the connection.
func TestKeptConnections(t *testing.T) {
	t.Parallel()
	var made atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(strings.Repeat("x", 3000)))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, http: {url: \""+server.URL+"\", result_limit: 0}}]\n")
	for i := range 5 {
		enqueue(t, r, fmt.Sprint(i), "t", "")
		if line := d.Attempt(fmt.Sprint(i), 1); line["outcome"] != "completed" || line["result"] != "cut" {
			t.Errorf("%v", line)
		}
	}
	if made.Load() != 1 {
		t.Errorf("%d connections for five requests", made.Load())
	}
}

// TestBurstToHTTP2: many requests at once to a server of HTTP/2 share few connections; a server that has HTTP/1.1 only gets
// as many as there are, and one that is not there fails all of them in time.
func TestBurstToHTTP2(t *testing.T) {
	t.Parallel()
	const burst = 100
	start := func(hasTwo bool) (*httptest.Server, *atomic.Int64) {
		made := &atomic.Int64{}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) }))
		server.EnableHTTP2 = hasTwo
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				made.Add(1)
			}
		}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server, made
	}
	two, twoMade := start(true)
	one, oneMade := start(false)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r := StartRedis(t)
	enqueueMany(t, r, "two", "two", burst, asynq.MaxRetry(0))
	enqueueMany(t, r, "one", "one", burst, asynq.MaxRetry(0))
	enqueueMany(t, r, "none", "none", burst, asynq.MaxRetry(0))
	d := StartDaemon(t, fmt.Sprintf(`
redis: %s
concurrency: 300
routes:
- {type: two, http: {url: "%s", tls: {verify: false}, connect_timeout: 1m}}
- {type: one, http: {url: "%s", tls: {verify: false}, connect_timeout: 1m}}
- {type: none, http: {url: "https://%s", tls: {verify: false}, connect_timeout: 2s}}
`, r.URI(), two.URL, one.URL, silent.Addr()))
	Eventually(t, 60*time.Second, "all to be done", func() bool { return len(d.Attempts("")) == 3*burst })
	for _, line := range d.Attempts("") {
		if (line["type"] == "none") == (line["outcome"] == "completed") {
			t.Errorf("%v", line)
		}
	}
	if made := twoMade.Load(); made > 5 {
		t.Errorf("%d requests took %d connections of HTTP/2", burst, made)
	}
	t.Logf("%d connections of HTTP/2, %d of HTTP/1.1", twoMade.Load(), oneMade.Load())
}

// TestWrittenIPv6: an address in brackets that the route names itself is its own, like any other.
func TestWrittenIPv6(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "six") }))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, http: {url: \""+server.URL+"\"}}]\n")
	enqueue(t, r, "six", "t", "", asynq.Retention(time.Hour))
	if task := settled(t, r, d, "six"); string(task.Result) != "six" {
		t.Errorf("%v, %q", task.State, task.LastErr)
	}
}

// TestValuesAsWritten: what stands in a payload arrives as it stands there, and only what a route uses can be wrong.
func TestValuesAsWritten(t *testing.T) {
	t.Parallel()
	s, r := startTarget(t), StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "body", http: {url: "`+s.URL+`/{{payload.id}}", body: '{"v": {{payload.v}}, "all": {{payload}}}'}}
  - {type: "argv", command: {argv: [printf, "%s", "v={{payload.v}}"]}}
  - {type: "id", http: {url: "`+s.URL+`/{{payload.id}}", method: GET}}
`)
	for i, value := range []string{"0.1", "1.10", "19.99", "1E2", "-0", "9223372036854775808", "18446744073709551615", "1e400",
		`{"b": 1,  "a": [2.50]}`, `"\ud83d\ude00 \u0000\/"`, "true", strings.Repeat("[", 3000) + strings.Repeat("]", 3000)} {
		payload := `{"id": "ok",  "v": ` + value + `}`
		id := fmt.Sprint("body-", i)
		enqueue(t, r, id, "body", payload)
		if task := settled(t, r, d, id); string(task.Result) != `POST /ok {"v": `+value+`, "all": `+payload+`}` {
			t.Errorf("%.100s arrives as %.200q, %q", value, task.Result, task.LastErr)
		}
		if !strings.HasPrefix(value, `"`) {
			id = fmt.Sprint("argv-", i)
			enqueue(t, r, id, "argv", payload, asynq.Retention(time.Hour))
			if task := settled(t, r, d, id); string(task.Result) != "v="+value {
				t.Errorf("%.100s is the word %.200q, %q", value, task.Result, task.LastErr)
			}
		}
	}
	for i, other := range []string{"1e999", `"\u0000"`, `"\ud83d"`, "18446744073709551616", "\"\xff\""} {
		id := fmt.Sprint("id-", i)
		enqueue(t, r, id, "id", `{"id":"ok","other":`+other+`}`)
		if task := settled(t, r, d, id); task.State != asynq.TaskStateCompleted {
			t.Errorf("%s: %q", other, task.LastErr)
		}
	}
	enqueue(t, r, "half", "id", `{"id":"\ud83d"}`)
	if task := settled(t, r, d, "half"); !strings.Contains(task.LastErr, "half of a surrogate pair") {
		t.Errorf("%v, %q", task.State, task.LastErr)
	}
}

// TestSystemTrust: whom the system trusts is read beside the loop, so that a file that hangs by the time of a request holds
// nothing up.
func TestSystemTrust(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/etc/ssl/certs/ca-certificates.crt"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs a file of the system's, and root for a namespace in which it is another one")
	}
	r, dir := StartRedis(t), t.TempDir()
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	file := filepath.Join(dir, "ca-certificates.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o644); err != nil {
		t.Fatal(err)
	}
	d := StartDaemonAfter(t, `set -- unshare --mount sh -c 'mount --bind `+dir+` /etc/ssl/certs && exec "$@"' sh "$@"`, `
redis: `+r.URI()+`
log: {level: debug}
routes: [{type: t, http: {url: "`+s.URL+`/", targets: {private_addresses: allow}}}]
`)
	Eventually(t, 30*time.Second, "the file to be read", func() bool { return len(d.Find("certificates of authorities were read")) == 1 })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o644); err != nil { // whoever opens it waits
		t.Fatal(err)
	}
	enqueue(t, r, "one", "t", "", asynq.MaxRetry(0))
	if line := d.Attempt("one", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
	get(t, d.URL()+"/healthz")
}

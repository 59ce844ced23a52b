package daemon

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// ask asks an asynqd, and returns status and body.
func ask(t testing.TB, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	follows(t, r, body, answer, string(text))
	return answer.StatusCode, string(text)
}

const asJSON = "Content-Type: application/json"

// object reads a JSON object.
func object(t testing.TB, text string) M {
	t.Helper()
	var m M
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return m
}

// TestHealth: /healthz tells that the process lives; /readyz that it can work: not without Redis, not after TSTP, not while it
// stops.
func TestHealth(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
endpoints: {readiness_max_heartbeat_age: 6s}
shutdown_timeout: 2s
routes: [{type: t, http: {url: "`+s.URL+`/sleep/60000"}}]
`)
	ready := func(status int, what string) {
		t.Helper()
		Eventually(t, 30*time.Second, what, func() bool {
			got, body := ask(t, "GET", d.URL()+"/readyz", "")
			return got == status && strings.Contains(body, what)
		})
	}
	ready(200, `"status":"ready"`)
	r.Kill()
	ready(503, `"redis":"there is no connection with Redis"`)
	if status, body := ask(t, "GET", d.URL()+"/healthz", ""); status != 200 || !strings.Contains(body, "alive") {
		t.Errorf("/healthz without Redis: %d %s", status, body)
	}
	r.Start()
	ready(200, `"redis":"ok"`)
	r.Stop()
	ready(503, `"redis":"`)
	r.Continue()
	ready(200, `"redis":"ok"`)
	enqueue(t, r, "long", "t", "")
	Eventually(t, 20*time.Second, "the task to run", func() bool { return s.running.Load() == 1 })
	d.Signal(20) // TSTP
	ready(503, `"tasks":"no new tasks are taken"`)
	d.Signal(15)
	ready(503, `"tasks":"asynqd is stopping"`)
}

// TestMetrics: Prometheus's own tool has no complaint but those about Asynq's names, a real Prometheus scrapes them, and what
// they say is so.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r, p := StartRedis(t), StartPostgres(t)
	p.Migrate()
	d := StartDaemon(t, pools(t, r, ", size: 2")+"\npostgres: {uri: \""+p.URI()+"\"}\nstate_directory: "+stateDir(t)+"\n")
	for i := range 7 {
		enqueue(t, r, fmt.Sprint("fine-", i), "py:echo", "x")
		d.Attempt(fmt.Sprint("fine-", i), 1)
	}
	enqueue(t, r, "bad", "py:permanent", "x")
	d.Attempt("bad", 1)
	enqueue(t, r, "later", "py:echo", "", asynq.ProcessIn(time.Hour))
	page := func() string {
		status, body := ask(t, "GET", d.URL()+"/metrics", "")
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		return body
	}
	Eventually(t, 20*time.Second, "the second process", func() bool {
		return strings.Contains(page(), `asynqd_worker_processes{pool="python",state="ready"} 2`)
	})
	Eventually(t, 20*time.Second, "the counters", func() bool {
		return strings.Contains(page(), `asynq_tasks_processed_total{queue="default"} 8`)
	})
	Eventually(t, 20*time.Second, "the history", func() bool {
		return strings.Contains(page(), "asynqd_history_written_total 16\n")
	})
	text := page()
	for _, want := range []string{
		`asynqd_postgres_up 1`, `asynqd_history_lost_total{reason="refused"} 0`, `asynqd_spool_bytes 0`, `asynqd_jobs{state="valid"} 0`,
		`asynqd_attempts_total{queue="default",route="py:",outcome="completed"} 7`,
		`asynqd_attempts_total{queue="default",route="py:",outcome="archived"} 1`,
		`asynqd_failures_total{queue="default",route="py:",error_class="worker_error"} 1`,
		`asynqd_task_duration_seconds_count{queue="default",route="py:"} 8`,
		`asynqd_task_wait_seconds_bucket{queue="default",route="py:",le="+Inf"} 8`,
		`asynqd_concurrency 50`, `asynqd_running_tasks 0`, `asynqd_redis_up 1`, `asynqd_leases_lost_total 0`, `asynqd_tasks_recovered_total 0`,
		`asynqd_worker_processes{pool="python",state="ready"} 2`, `asynqd_worker_crashes_total{pool="python"} 0`,
		`asynqd_build_info{version="` + Version(t) + `"} 1`,
		`asynq_tasks_enqueued_total{queue="default",state="scheduled"} 1`, `asynq_queue_size{queue="default"} 9`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	dashboard(t, text)
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(text)
	complaints, _ := check.CombinedOutput()
	for _, line := range strings.Split(strings.TrimSpace(string(complaints)), "\n") {
		if line != "" && !regexp.MustCompile(`^asynq_(tasks_enqueued|queue_paused)_total non-counter metrics should not have`).MatchString(line) {
			t.Errorf("promtool: %s", line)
		}
	}
	prometheus := StartPrometheus(t, d.URL())
	prometheus.Has(`asynqd_attempts_total{route="py:",outcome="completed"} == 7`, 1)
	prometheus.Has(`asynq_queue_size`, 1)
	r.Kill()
	if text := page(); !strings.Contains(text, "asynqd_build_info") || !strings.Contains(text, "# The queues are missing") {
		t.Errorf("without Redis: %s", text)
	}
	r.Start()
}

// dashboard: what the dashboard and the alerts ask for is on the page.
func dashboard(t *testing.T, page string) {
	t.Helper()
	for _, file := range []string{"grafana/asynqd.json", "prometheus/asynqd.rules.yml"} {
		text, err := os.ReadFile(filepath.Join("../../../contrib", file))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\basynqd?_[a-z_]+\b`).FindAllString(string(text), -1)
		if len(names) < 5 {
			t.Errorf("%s has only %v", file, names)
		}
		for _, name := range names {
			// A counter that has not counted yet is not there; its line in the table of metrics is what counts.
			if !strings.Contains(page, "# TYPE "+strings.TrimSuffix(name, "_bucket")+" ") && name != "asynqd_api_tasks_total" {
				t.Errorf("%s asks for %s, which does not exist", file, name)
			}
		}
	}
	for _, words := range [][]string{{"check", "rules", "asynqd.rules.yml"}, {"test", "rules", "asynqd.rules.test.yml"}} {
		cmd := exec.Command("promtool", words...)
		cmd.Dir = "../../../contrib/prometheus"
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", words, err, output)
		}
	}
}

// TestPostTasks: tasks come in, single and in batches, with all options; repeating a request creates nothing twice.
func TestPostTasks(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nqueues: {none: 1}\nroutes: [{type: t, command: {argv: [cat]}}]\n")
	url := d.URL() + "/v1/tasks"
	post := func(body string, want int) M {
		t.Helper()
		status, answer := ask(t, "POST", url, body, asJSON)
		if status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
		return object(t, answer)
	}
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	all := fmt.Sprintf(`{"type": "mail:send", "payload": {"to": ["é", 1]}, "id": "one", "queue": "low", "max_retry": 0, "timeout": "90s",
		"retention": 3600, "process_at": %q, "deadline": %q, "headers": {"who": "me"}, "group": null}`,
		at.Format(time.RFC3339), at.Add(time.Hour).Format(time.RFC3339))
	if got := post(all, 201); got["id"] != "one" || got["state"] != "scheduled" || got["result"] != "created" || got["queue"] != "low" {
		t.Errorf("%v", got)
	}
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	task, err := inspector.GetTaskInfo("low", "one")
	if err != nil || string(task.Payload) != `{"to": ["é", 1]}` || task.MaxRetry != 0 || task.Timeout != 90*time.Second ||
		task.Retention != time.Hour || !task.NextProcessAt.Equal(at) || !task.Deadline.Equal(at.Add(time.Hour)) ||
		task.Headers["who"] != "me" || task.Type != "mail:send" {
		t.Errorf("%+v, %v", task, err)
	}
	if got := post(all, 200); got["result"] != "exists" || got["id"] != "one" {
		t.Errorf("again: %v", got)
	}
	if got := post(`{"type": "u", "payload": "x", "unique": "1h"}`, 201); got["id"] == nil || got["state"] != "pending" {
		t.Errorf("%v", got)
	}
	if got := post(`{"type": "u", "payload": "x", "unique": "1h"}`, 409); got["result"] != "duplicate" {
		t.Errorf("%v", got)
	}
	if got := post(`{"type": "g", "group": "crowd"}`, 201); got["state"] != "aggregating" {
		t.Errorf("%v", got)
	}
	post(`{"type": "b", "id": "bytes", "payload_base64": "`+base64.StdEncoding.EncodeToString([]byte("\x00\xff!"))+`"}`, 201)
	if got := info(t, r, "bytes"); string(got.Payload) != "\x00\xff!" {
		t.Errorf("%q", got.Payload)
	}
	// A payload is kept as it is written, of whatever kind; a text is what it says.
	for i, written := range []string{`{"z": 1.10,"f":0.1, "e":1e2}`, "18446744073709551615", `{"a": "\u0000 \ud83d"}`, "[ ]", "0", "-0.0",
		"false", strings.Repeat("[", 3000) + strings.Repeat("]", 3000), "{\n}"} {
		id := fmt.Sprint("written-", i)
		post(`{"id": "`+id+`", "payload": `+written+`, "type": "t"}`, 201)
		if got := info(t, r, id); string(got.Payload) != written {
			t.Errorf("%.100s is stored as %.100s", written, got.Payload)
		}
	}
	post(`{"tasks": [{"type": "t", "id": "x1"}, {"pay\u006coad": {"a":  1}, "type": "t", "id": "x2"}, {"type": "t", "payload": "\u00e9\u0000\n", "id": "x3"}, {"id": "x4", "type": "t", "payload": null}]}`, 201)
	for id, wanted := range map[string]string{"x1": "", "x2": `{"a":  1}`, "x3": "é\x00\n", "x4": ""} {
		if got := info(t, r, id); string(got.Payload) != wanted {
			t.Errorf("%s: %q", id, got.Payload)
		}
	}
	batch := `{"tasks": [{"type": "a", "id": "b1"}, {"type": "a", "id": "b2"}, {"type": "a", "id": "b1"}]}`
	got := post(batch, 201)
	results := ""
	for _, one := range got["tasks"].([]any) {
		results += one.(M)["result"].(string) + " "
	}
	if results != "created created exists " {
		t.Errorf("%v", got)
	}
	post(`[{"type": "a", "id": "b1"}]`, 200)
	post(`[{"type": "a"}, {"type": "u", "payload": "x", "unique": "1h"}]`, 207)

	// Many at once, each once.
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			var tasks []string
			for k := range 50 {
				tasks = append(tasks, fmt.Sprintf(`{"type": "many", "id": "many-%d", "queue": "many"}`, (i%10)*50+k))
			}
			ask(t, "POST", url, "["+strings.Join(tasks, ",")+"]", asJSON)
		}()
	}
	wait.Wait()
	if n := r.Client.LLen(context.Background(), "asynq:{many}:pending").Val(); n != 500 {
		t.Errorf("%d tasks instead of 500", n)
	}
	IsWell(t, r)
}

// TestPostTasksMistakes: each is answered with a 4xx and a reason, and nothing is enqueued.
func TestPostTasksMistakes(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nendpoints: {max_body_size: 20kB}\nroutes: [{type: t, command: {argv: [cat]}}]\n")
	url := d.URL() + "/v1/tasks"
	for _, test := range []struct {
		body   string
		status int
		reason string
	}{
		{``, 400, `line 1, column 0: '[' or '{' expected`},
		{`{`, 400, `line 1, column 1`},
		{`"x"`, 400, `line 1`},
		{`{}`, 400, `type is missing`},
		{`[]`, 400, `tasks: is no list of 1 to 1000 tasks`},
		{`{"tasks": {}}`, 400, `tasks: is no list`},
		{`{"tasks": [1]}`, 400, `tasks[0]: a task is an object`},
		{`[{"type": "a", "id": "lost"}, {"typ": "b"}]`, 400, `tasks[1]: there is no member \"typ\"; did you mean \"type\"?`},
		{`{"type": "a", "type": "b"}`, 400, `duplicate object key`},
		{`{"type": 1}`, 400, `type: is not a text`},
		{`{"type": " "}`, 400, `cannot be empty`},
		{`{"type": "a\u0000b"}`, 400, `a text has a NUL character, which only a payload can have`},
		{`{"type": "a", "colour": 1}`, 400, `there is no member \"colour\"`},
		{`{"type": "a", "max_retry": -1}`, 400, `max_retry: is not a whole number from 0 on`},
		{`{"type": "a", "max_retry": 1.5}`, 400, `max_retry: is not a whole number`},
		{`{"type": "a", "timeout": "soon"}`, 400, `timeout: is neither seconds nor a duration`},
		{`{"type": "a", "timeout": -5}`, 400, `timeout: is neither`},
		{`{"type": "a", "deadline": "tomorrow"}`, 400, `deadline: is no time such as`},
		{`{"type": "a", "unique": "1ms"}`, 400, ``},
		{`{"type": "a", "process_in": 1, "process_at": "2030-01-01T00:00:00Z"}`, 400, `"process_at and process_in are both set`},
		{`{"type": "a", "retention": 99999999999}`, 400, `"retention is 99999999999000 ms;`},
		{`{"type": "a", "headers": []}`, 400, `headers: is no object`},
		{`{"type": "a", "headers": {"a": 1}}`, 400, `headers: a: is not a text`},
		{`{"type": "a", "payload": "\ud83d"}`, 400, `payload: has half of a surrogate pair`},
		{`{"type": "a", "payload": 1, "payload": 2}`, 400, `duplicate object key`},
		{"{\"type\": \"a\",\n\"payload\": {\n},\n\"tpye\": 1}", 400, `there is no member`},
		{"{\"payload\": {\n},\n\"type\" \"a\"}", 400, `line 3, column`},
		{`{"type": "a", "payload_base64": "===="}`, 400, `is no base64`},
		{`{"type": "a", "payload_base64": "A==="}`, 400, `is no base64`},
		{`{"type": "a", "payload_base64": "=AAA"}`, 400, `is no base64`},
		{`{"type": "a", "payload_base64": "AA=A"}`, 400, `is no base64`},
		{`{"type": "a", "payload_base64": "AAA\n"}`, 400, `is no base64`},
		{`{"type": "a", "payload_base64": "A-_A"}`, 400, `is no base64`},
		{`{"type": "a", "payload": "x", "payload_base64": "eA=="}`, 400, `payload and payload_base64 are both given`},
		{`{"type": "a", "payload_base64": "e"}`, 400, `payload_base64: is no base64`},
		{`{"type": "a", "payload_base64": "e!=="}`, 400, `payload_base64: is no base64`},
		{`{"type": "a", "payload_base64": 5}`, 400, `payload_base64: is no base64`},
		{`{"type": "a", "queue": ""}`, 400, ``},
		{`{"type": "` + strings.Repeat("x", 2000) + `"}`, 400, `type`},
		{`{"type": "a", "payload": "` + strings.Repeat("x", 30000) + `"}`, 413, `larger than endpoints.max_body_size, 20kB`},
		{`{"type": "a", "payload": "` + strings.Repeat("x", 8000000) + `"}`, 413, `larger than endpoints.max_body_size, 20kB`},
		{`[` + strings.Repeat(`{"type":"a"},`, 1000) + `{"type":"a"}]`, 413, `tasks: is no list of 1 to 1000 tasks`},
		{strings.Repeat("[", 5000), 400, `maximum parsing depth`},
		{"{\"type\": \"\xff\"}", 400, `unable to decode byte 0xff`},
	} {
		status, body := ask(t, "POST", url, test.body, asJSON)
		if status != test.status || !strings.Contains(body, test.reason) {
			t.Errorf("%.80s: %d %s", test.body, status, body)
		}
	}
	for _, test := range []struct {
		method, path string
		status       int
		headers      []string
	}{
		{"POST", "/v1/tasks", 415, nil},
		{"POST", "/v1/tasks", 415, []string{"Content-Type: text/plain"}},
		{"GET", "/v1/tasks", 405, nil},
		{"DELETE", "/metrics", 405, nil},
		{"GET", "/v2/tasks", 404, nil},
		{"GET", "/../../etc/passwd", 404, nil},
		{"GET", "//metrics", 404, nil},
		{"PUT", "/metrics", 405, nil},
		{"PATCH", "/v1/tasks", 405, nil},
		{"OPTIONS", "/v1/tasks", 405, nil},
		{"POST", "/v1/tasks", 415, []string{asJSON, "Content-Encoding: gzip"}},
		{"POST", "/v1/tasks", 403, []string{asJSON, "Host: 127.evil.example"}},
		{"POST", "/v1/tasks", 403, []string{asJSON, "Host: 127.0.0.1.evil.example"}},
		{"POST", "/v1/tasks", 403, []string{asJSON, "Host: localhost.evil.example"}},
		{"GET", "/", 404, nil},
		{"POST", "/v1/tasks", 403, []string{asJSON, "Host: evil.example:80"}},
		{"POST", "/v1/tasks", 403, []string{asJSON, "Origin: http://localhost"}},
	} {
		status, body := ask(t, test.method, d.URL()+test.path, `{"type": "a"}`, test.headers...)
		if status != test.status || object(t, body)["error"] == nil {
			t.Errorf("%s %s: %d %s", test.method, test.path, status, body)
		}
	}
	for _, key := range r.Keys() {
		if strings.Contains(key, ":t:") {
			t.Errorf("something was enqueued: %s", key)
		}
	}
}

// TestToken: with a token, only those who have it may read and write; without one, nobody writes from elsewhere.
func TestToken(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "token")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	makeCertificate(t, dir, "localhost")
	config := "redis: " + r.URI() + "\nroutes: [{type: t, command: {argv: [cat]}}]\n"
	d := StartDaemon(t, config+"endpoints: {token_file: "+secret+", cert_file: "+dir+"/crt, key_file: "+dir+"/key}\n")
	if !strings.HasPrefix(d.URL(), "https:") {
		t.Fatal(d.URL())
	}
	for _, test := range []struct {
		method, path, token string
		status              int
	}{
		{"GET", "/healthz", "", 200}, {"GET", "/readyz", "", 200},
		{"GET", "/metrics", "", 401}, {"GET", "/metrics", "Bearer hunter", 401}, {"GET", "/metrics", "Bearer hunter3", 401},
		{"GET", "/metrics", "Basic hunter2", 401}, {"GET", "/metrics", "Bearer hunter2", 200},
		{"POST", "/v1/tasks", "", 401}, {"POST", "/v1/tasks", "Bearer hunter2", 201},
	} {
		headers := []string{asJSON}
		if test.token != "" {
			headers = append(headers, "Authorization: "+test.token)
		}
		if status, body := ask(t, test.method, d.URL()+test.path, `{"type": "a"}`, headers...); status != test.status {
			t.Errorf("%s %s with %q: %d %s", test.method, test.path, test.token, status, body)
		}
	}
	if strings.Contains(d.Text(), "hunter2") {
		t.Error("the token is in the log")
	}
	open := StartDaemon(t, config, "--endpoints-listen", "0.0.0.0:0")
	if status, body := ask(t, "POST", open.URL()+"/v1/tasks", `{"type": "a"}`, asJSON); status != 403 ||
		!strings.Contains(body, "endpoints.token") {
		t.Errorf("beyond loopback: %d %s", status, body)
	}
}

package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// warned is what an answer to POST /v1/tasks warns of.
func warned(t testing.TB, answer string) string {
	t.Helper()
	list, _ := object(t, answer)["warnings"].([]any)
	return fmt.Sprint(list...)
}

// TestUnservedTasks: who posts a task that nobody will run is told so, with the rights that asynqd needs and no more.
func TestUnservedTasks(t *testing.T) {
	t.Parallel()
	r := StartRedis(t).LogInAs("worker", "client")
	d := StartDaemon(t, "redis: "+r.URI()+"\nqueues: {default: 1}\nroutes: [{type: 't:', command: {argv: [cat]}}]\n")
	post := func(body string) string {
		t.Helper()
		status, answer := ask(t, "POST", d.URL()+"/v1/tasks", body, asJSON)
		if status != 201 {
			t.Errorf("%s: %d %s", body, status, answer)
		}
		return answer
	}
	for _, test := range []struct{ body, want string }{
		{`{"type": "t:x"}`, ``},
		{`{"type": "t"}`, `no route of this asynqd takes the type "t"`},
		{`{"type": "other"}`, `no route of this asynqd takes the type "other"`},
		{`{"type": "t:x", "queue": "elsewhere"}`, `no server takes tasks from the queue "elsewhere"`},
		{`{"type": "other", "queue": "elsewhere"}`, `no server takes tasks from the queue "elsewhere"`},
		{`{"type": "t:x", "process_in": 60}`, ``},
	} {
		if got := warned(t, post(test.body)); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%s: %q", test.body, got)
		}
	}
	list := object(t, post(`[{"type": "t:x"}, {"type": "t:x", "queue": "elsewhere"}]`))["tasks"].([]any)
	if list[0].(M)["warnings"] != nil || list[1].(M)["warnings"] == nil {
		t.Errorf("%v", list)
	}
	other := StartDaemon(t, "redis: "+r.URI()+"\nqueues: {elsewhere: 1}\nroutes: [{type: 't:', command: {argv: [cat]}}]\n")
	Eventually(t, 30*time.Second, "the other server to be known", func() bool {
		return warned(t, post(`{"type": "t:x", "queue": "elsewhere"}`)) == ""
	})
	other.End()
	Eventually(t, 60*time.Second, "its end to be known", func() bool {
		return warned(t, post(`{"type": "t:x", "queue": "elsewhere"}`)) != ""
	})
}

// TestPostingIsAllowed: endpoints.queues and endpoints.types say what may be posted, and how many queues may be made is bounded.
func TestPostingIsAllowed(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	config := "redis: " + r.URI() + "\nqueues: {default: 1, own: 1}\nroutes: [{type: t, command: {argv: [cat]}}]\n"
	d := StartDaemon(t, config+"endpoints: {queues: [own, 'mail-*', 'a[b]?\\c'], types: ['t:*', email], max_queues: 3}\n")
	for _, test := range []struct {
		body   string
		status int
		reason string
	}{
		{`{"type": "t:x", "queue": "own"}`, 201, ``},
		{`{"type": "email", "queue": "own"}`, 201, ``},
		{`{"type": "emails", "queue": "own"}`, 403, `type \"emails\" is not among endpoints.types`},
		{`{"type": "t", "queue": "own"}`, 403, `type \"t\" is not among endpoints.types`},
		{`{"type": "t:x"}`, 403, `queue \"default\" is not among endpoints.queues`},
		{`{"type": "t:x", "queue": "mail"}`, 403, `queue \"mail\" is not among`},
		{`[{"type": "t:x", "queue": "own", "id": "lost"}, {"type": "t:x", "queue": "other"}]`, 403, `tasks[1]: queue \"other\" is not among`},
		{`[{"type": "t:x", "queue": "mail-5"}, {"type": "t:x", "queue": "mail-6"}, {"type": "no"}]`, 403, `type \"no\"`},
		{`[{"type": "t:x", "queue": "mail-5"}, {"type": "t:x", "queue": "mail-6"}, {"type": 7}]`, 400, `type`},
		{`[{"type": "t:x", "queue": "mail-7", "timeout": 1, "deadline": "2000-01-01T00:00:00Z", "unique": 0.1}]`, 207, ``},
		{`[{"type": "t:x", "queue": "mail-8"}, {"type": "t:x", "queue": "mail-9"}, {"type": "t:x", "queue": "mail-a"},
			{"type": "t:x", "queue": "mail-b"}]`, 403, `tasks[3]: queue \"mail-b\" is not served here`},
		{`{"type": "t:x", "queue": "mail-1"}`, 201, ``}, // none of those above got anywhere
		{`[{"type": "t:x", "queue": "mail-2"}, {"type": "t:x", "queue": "mail-3"}]`, 201, ``},
		{`{"type": "t:x", "queue": "a[b]?\\c"}`, 403, `endpoints.max_queues allows no more`},
		{`{"type": "t:x", "queue": "abx\\c"}`, 403, `is not among endpoints.queues`},
		{`{"type": "t:x", "queue": "mail-4"}`, 403, `endpoints.max_queues allows no more`},
		{`{"type": "t:x", "queue": "mail-2"}`, 201, ``},
	} {
		status, body := ask(t, "POST", d.URL()+"/v1/tasks", test.body, asJSON)
		if status != test.status || !strings.Contains(body, test.reason) {
			t.Errorf("%s: %d %s", test.body, status, body)
		}
	}
	if r.Int("EXISTS", "asynq:{own}:t:lost") != 0 {
		t.Error("a part of a list that was refused is there")
	}
	takeOver(t, d, config+"endpoints: {max_queues: 10}\n")
	if status, body := ask(t, "POST", d.URL()+"/v1/tasks", `{"type": "any"}`, asJSON); status != 201 {
		t.Errorf("after a reload: %d %s", status, body)
	}
	// Without any word of it, not everybody may make as many queues as he likes.
	open := StartDaemon(t, config)
	var tasks []string
	for i := range 1000 {
		tasks = append(tasks, fmt.Sprintf(`{"type": "t", "queue": "new-%d"}`, i))
	}
	if status, body := ask(t, "POST", open.URL()+"/v1/tasks", "["+strings.Join(tasks, ",")+"]", asJSON); status != 403 ||
		!strings.Contains(body, "tasks[100]: ") {
		t.Errorf("1,000 queues: %d %.300s", status, body)
	}
}

// isTaken tells whether the other end of a connection on this machine has read all that was sent to it.
func isTaken(t testing.TB, connection net.Conn) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	end := func(address net.Addr) string {
		return fmt.Sprintf(":%04X", address.(*net.TCPAddr).Port)
	}
	ours, theirs := end(connection.LocalAddr()), end(connection.RemoteAddr())
	empty := 0
	for _, line := range strings.Split(string(table), "\n") {
		f := strings.Fields(line)
		if len(f) < 5 || f[4] != "00000000:00000000" {
			continue
		}
		if (strings.HasSuffix(f[1], ours) && strings.HasSuffix(f[2], theirs)) || (strings.HasSuffix(f[1], theirs) && strings.HasSuffix(f[2], ours)) {
			empty++
		}
	}
	return empty == 2
}

// TestLargePosts: a large body is read aside, so that others are answered meanwhile.
func TestLargePosts(t *testing.T) {
	t.Parallel()
	const answersWanted = 4
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: other, command: {argv: [cat]}}]\n")
	headers := `"h0": "0"`
	for i := range 98 {
		headers += fmt.Sprintf(`, "h%d": "%s"`, i+1, strings.Repeat("x", 140))
	}
	// All are refused at last, so that nobody waits for Redis.
	for name, body := range map[string]string{
		"tasks with headers": `[` + strings.Repeat(`{"type": "t", "headers": {`+headers+`}},`, 300) + `{"type": 7}]`,
		"a payload":          `{"type": "t", "payload": [` + strings.Repeat("1,", 2000000) + `1], "typ": 1}`,
		"base64":             `{"type": "t", "payload_base64": "` + strings.Repeat("QUFB", 1000000) + `", "typ": 1}`,
		"lists in lists":     strings.Repeat("[", 2000000) + strings.Repeat("]", 2000000),
		"many values":        `[` + strings.Repeat("{},", 1300000) + `{}]`,
	} {
		connection, err := net.Dial("tcp", strings.TrimPrefix(d.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(connection, "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			len(body), body[:len(body)-1])
		Eventually(t, 60*time.Second, "all but a byte to be taken", func() bool { return isTaken(t, connection) })
		io.WriteString(connection, body[len(body)-1:])
		answer := make(chan string, 1)
		go func() {
			line, _ := bufio.NewReader(connection).ReadString('\n')
			answer <- strings.TrimSpace(strings.TrimPrefix(line, "HTTP/1.1 "))
			connection.Close()
		}()
		for answers := 0; ; answers++ {
			if len(answer) > 0 {
				if got := <-answer; got != "400 Bad Request" && got != "413 Request Entity Too Large" {
					t.Errorf("%s: %s", name, got)
				}
				if answers < answersWanted {
					t.Errorf("%s: %d answers of /healthz while %d bytes were read, want %d at least", name, answers, len(body), answersWanted)
				}
				break
			}
			get(t, d.URL()+"/healthz")
		}
	}
}

// TestRouteDefaults: tasks that asynqd itself enqueues get what their route says, unless they say otherwise.
func TestRouteDefaults(t *testing.T) {
	t.Parallel()
	r, p := StartRedis(t), StartPostgres(t)
	p.Migrate()
	dir := t.TempDir()
	schedule := filepath.Join(dir, "schedule.yaml")
	os.WriteFile(schedule, []byte(`
entries:
- {spec: "@every 1s", type: "d:file"}
- {spec: "@every 1s", type: "d:said", queue: said, max_retry: 0, timeout: 0, retention: 0, unique: 0, headers: {a: b}}
`), 0o600)
	config := func(retries int) string {
		return fmt.Sprintf(`
redis: %s
postgres: {uri: "%s"}
state_directory: %s
schedule: {file: %s}
queues: {nobody: 1}
routes:
- {type: other, command: {argv: [cat]}}
- {type: "d:", command: {argv: [cat]}, defaults: {queue: low, max_retry: %d, timeout: 90s, retention: 2h, unique: 10m}}
- {type: "d:inner:", command: {argv: [cat]}}
`, r.URI(), p.URI(), stateDir(t), schedule, retries)
	}
	d := StartDaemon(t, config(3))
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	find := func(queue, kind string) (found *asynq.TaskInfo) {
		t.Helper()
		Eventually(t, 30*time.Second, kind+" in "+queue, func() bool {
			for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){inspector.ListPendingTasks} {
				tasks, _ := list(queue, asynq.PageSize(500))
				for _, task := range tasks {
					if task.Type == kind {
						found = task
					}
				}
			}
			return found != nil
		})
		return found
	}
	has := func(task *asynq.TaskInfo, retries int, timeout, retention time.Duration) {
		t.Helper()
		if task.MaxRetry != retries || task.Timeout != timeout || task.Retention != retention {
			t.Errorf("%s: %d retries, timeout %v, retention %v", task.Type, task.MaxRetry, task.Timeout, task.Retention)
		}
	}
	post := func(body string, want int) {
		t.Helper()
		if status, answer := ask(t, "POST", d.URL()+"/v1/tasks", body, asJSON); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	const forever = 100 * 365 * 24 * time.Hour // what a timeout of 0 is stored as, at least
	post(`{"type": "d:post", "headers": {"a": "b"}}`, 201)
	post(`{"type": "d:post"}`, 409)
	post(`{"type": "d:null", "max_retry": null, "queue": null, "timeout": 5}`, 201)
	post(`{"type": "d:none", "max_retry": 0, "timeout": 0, "retention": 0, "unique": 0, "queue": "said"}`, 201)
	post(`{"type": "d:none", "max_retry": 0, "timeout": 0, "retention": 0, "unique": 0, "queue": "said"}`, 201)
	post(`{"type": "d:inner:x"}`, 201)
	has(find("low", "d:post"), 3, 90*time.Second, 2*time.Hour)
	if task := find("low", "d:post"); task.Headers["a"] != "b" {
		t.Errorf("headers: %v", task.Headers)
	}
	has(find("low", "d:null"), 3, 5*time.Second, 2*time.Hour)
	if task := find("said", "d:none"); task.MaxRetry != 0 || task.Retention != 0 || task.Timeout < forever {
		t.Errorf("%+v", task)
	}
	has(find("default", "d:inner:x"), 25, 30*time.Minute, 0)
	has(find("low", "d:file"), 3, 90*time.Second, 2*time.Hour)
	if task := find("said", "d:said"); task.MaxRetry != 0 || task.Retention != 0 || task.Timeout < forever || task.Headers["a"] != "b" {
		t.Errorf("%+v", task)
	}
	p.Exec(`INSERT INTO jobs (name, type) VALUES ('job', 'd:job')`)
	p.Exec(`INSERT INTO jobs (name, type, options) VALUES ('said', 'd:jobsaid', '{"max_retry": 7}')`)
	has(find("low", "d:job"), 3, 90*time.Second, 2*time.Hour)
	has(find("low", "d:jobsaid"), 7, 90*time.Second, 2*time.Hour)
	takeOver(t, d, config(9))
	post(`{"type": "d:new"}`, 201)
	has(find("low", "d:new"), 9, 90*time.Second, 2*time.Hour)
	p.Exec(`INSERT INTO jobs (name, type) VALUES ('new', 'd:newjob')`)
	has(find("low", "d:newjob"), 9, 90*time.Second, 2*time.Hour)
}

package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// postgresConfig is a configuration with a database; routes follow.
func postgresConfig(r *Redis, p *Postgres, state, more string) string {
	return fmt.Sprintf("redis: %s\nstate_directory: %s\nconcurrency: 20\npostgres: {uri: \"%s\"}\nroutes:\n%s", r.URI(), state,
		p.URI(), more)
}

// metric is the value of a series in asynqd's metrics; -1: there is none.
func metric(t testing.TB, d *Daemon, series string) float64 {
	t.Helper()
	response, err := http.Get(d.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (.*)$`).FindStringSubmatch(string(text))
	if found == nil {
		return -1
	}
	value, _ := strconv.ParseFloat(found[1], 64)
	return value
}

// readiness is what /readyz says of one of its checks, and its status.
func readiness(t testing.TB, d *Daemon, check string) (string, int) {
	t.Helper()
	response, err := http.Get(d.URL() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Checks map[string]string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Checks[check], response.StatusCode
}

// executions waits until there are so many rows that have ended.
func executions(t testing.TB, p *Postgres, count int) []M {
	t.Helper()
	Eventually(t, 3*time.Minute, fmt.Sprint(count, " executions"), func() bool {
		return p.Int("SELECT count(*) FROM executions WHERE finished_at IS NOT NULL") >= count
	})
	rows := p.Rows("SELECT * FROM executions ORDER BY started_at, attempt")
	if len(rows) != count {
		t.Errorf("%d rows instead of %d: %v", len(rows), count, rows)
	}
	return rows
}

func stateDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "asynqd-state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func enqueueAs(t testing.TB, r *Redis, id, kind string, payload string, opts ...asynq.Option) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(r.Client)
	if _, err := client.Enqueue(asynq.NewTask(kind, []byte(payload)), append(opts, asynq.TaskID(id))...); err != nil {
		t.Fatal(err)
	}
}

// TestMigrate: the tables are made once, by however many; asynqd runs tasks without them and begins with the history when
// they are there; it leaves those of a newer asynqd alone.
func TestMigrate(t *testing.T) {
	t.Parallel()
	p := StartPostgres(t)
	r := StartRedis(t)
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), `- {type: "t", command: {argv: [cat]}}`))
	enqueueAs(t, r, "before", "t", "")
	d.Attempt("before", 1)
	Eventually(t, 30*time.Second, "/readyz to ask for the tables", func() bool {
		problem, status := readiness(t, d, "postgresql")
		return status == 200 && strings.Contains(problem, "asynqd migrate") // nothing waits for it
	})
	Eventually(t, 30*time.Second, "the log to tell what to do", func() bool { return len(d.Find("`asynqd migrate` makes them")) == 1 })

	var all sync.WaitGroup
	var steps atomicText
	for range 5 {
		all.Add(1)
		go func() {
			defer all.Done()
			text, err := DaemonCommand("migrate", "--postgres-uri", p.URI()).CombinedOutput()
			if err != nil || !strings.HasSuffix(string(text), fmt.Sprintf("the tables have version %d\n", migrations(t))) {
				t.Errorf("asynqd migrate: %v, %s", err, text)
			}
			steps.add(string(text))
		}()
	}
	all.Wait()
	if strings.Count(steps.text(), "0001 jobs-and-executions") != 1 {
		t.Errorf("the step was done more or less than once: %s", steps.text())
	}
	rows := executions(t, p, 1)
	if rows[0]["task_id"] != "before" || rows[0]["outcome"] != "completed" {
		t.Errorf("the attempt before there were tables: %v", rows[0])
	}
	Eventually(t, 20*time.Second, "to be ready", func() bool { problem, _ := readiness(t, d, "postgresql"); return problem == "ok" })

	p.Exec("INSERT INTO migrations (version, name) VALUES (9999, 'of tomorrow')")
	text, err := DaemonCommand("migrate", "--postgres-uri", p.URI()).CombinedOutput()
	if err == nil || !strings.Contains(string(text), fmt.Sprint("the tables have version 9999, this asynqd knows ", migrations(t))) {
		t.Errorf("tables of a newer asynqd: %v, %s", err, text)
	}
	for uri, wanted := range map[string]string{
		"":                                  "postgres.uri says where the tables shall be",
		"host=/nowhere user=a dbname=b":     "No such file or directory",
		"postgresql://u:secret@127.0.0.1:1": "Connection refused",
		"hust=x":                            `invalid connection option "hust"`,
	} {
		text, err := DaemonCommand("migrate", "--postgres-uri="+uri).CombinedOutput()
		if err == nil || !strings.Contains(string(text), wanted) || strings.Contains(string(text), "secret") {
			t.Errorf("asynqd migrate with %q: %v, %s", uri, err, text)
		}
	}
}

type atomicText struct {
	mutex sync.Mutex
	all   strings.Builder
}

func (a *atomicText) add(text string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.all.WriteString(text)
}

func (a *atomicText) text() string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.all.String()
}

// TestHistory: a row for each attempt tells how it went.
func TestHistory(t *testing.T) {
	t.Parallel()
	p, r, s := StartPostgres(t), StartRedis(t), startTarget(t)
	p.Migrate()
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), `
- {type: "call", http: {url: "`+s.URL+`/status/{{payload}}"}, retry: {initial_delay: 100ms}}
- {type: "shout", command: {argv: [sh, -c, 'printf "\377 \342\202\254 \"quoted\"\ttab" >&2; exit 3']}, retry: {initial_delay: 100ms}}
- {type: "long", command: {argv: [sh, -c, 'head -c 20000 /dev/zero | tr "\0" x >&2; exit 3'], error_limit: 8kB}}
- {type: "late", command: {argv: [sleep, "60"]}}
`))
	trace := "4bf92f3577b34da6a3ce929d0e0e4736"
	client := asynq.NewClientFromRedisClient(r.Client)
	task := asynq.NewTaskWithHeaders("call", []byte("200"), map[string]string{
		"traceparent": "00-" + trace + "-00f067aa0ba902b7-01", "asynq-job": "12"})
	if _, err := client.Enqueue(task, asynq.TaskID("good")); err != nil {
		t.Fatal(err)
	}
	enqueueAs(t, r, "bad", "call", "503", asynq.MaxRetry(1))
	enqueueAs(t, r, "ugly", "shout", "", asynq.MaxRetry(0))
	enqueueAs(t, r, "long", "long", "", asynq.MaxRetry(0))
	enqueueAs(t, r, "none", "who knows", "", asynq.MaxRetry(0))
	enqueueAs(t, r, "late", "late", "", asynq.MaxRetry(0), asynq.Timeout(time.Second))
	forged := asynq.NewTaskWithHeaders("call", []byte("200"), map[string]string{"asynq-job": "1; DROP TABLE jobs"})
	if _, err := client.Enqueue(forged, asynq.TaskID("forged")); err != nil {
		t.Fatal(err)
	}
	seen := map[string][]M{}
	for _, row := range executions(t, p, 8) {
		id := row["task_id"].(string)
		seen[id] = append(seen[id], row)
		if row["started_at"] == nil || row["queued_at"] == nil || row["duration_ms"] == nil || row["queue"] != "default" {
			t.Errorf("something is missing: %v", row)
		}
		if !strings.Contains(row["instance"].(string), "-"+strconv.Itoa(d.Pid())+"-") {
			t.Errorf("the instance is %v", row["instance"])
		}
	}
	check := func(id string, n int, wanted M) {
		t.Helper()
		if len(seen[id]) <= n {
			t.Errorf("%s has %d rows", id, len(seen[id]))
			return
		}
		for column, value := range wanted {
			if got := fmt.Sprint(seen[id][n][column]); !strings.Contains(got, fmt.Sprint(value)) {
				t.Errorf("%s, row %d: %s is %s, not %v", id, n, column, got, value)
			}
		}
	}
	check("good", 0, M{"outcome": "completed", "http_status": 200, "job_id": 12, "trace_id": trace, "attempt": 1, "type": "call",
		"error": nil, "error_class": nil})
	check("bad", 0, M{"outcome": "retried", "http_status": 503, "error_class": "http_status", "attempt": 1, "job_id": nil})
	check("bad", 1, M{"outcome": "archived", "http_status": 503, "attempt": 2, "error": "503"})
	check("ugly", 0, M{"outcome": "archived", "error_class": "exit_status", "error": "€ \"quoted\"\ttab"})
	check("long", 0, M{"outcome": "archived", "error": "xxxxx"})
	check("none", 0, M{"outcome": "archived"})
	check("late", 0, M{"outcome": "archived", "error_class": "timeout"})
	check("forged", 0, M{"outcome": "completed", "job_id": nil})
	if ms := seen["late"][0]["duration_ms"].(float64); ms < 900 || ms > 20000 {
		t.Errorf("the late one took %v ms", ms)
	}
	if count := metric(t, d, "asynqd_history_written_total"); count != 16 {
		t.Errorf("asynqd_history_written_total is %v", count)
	}
}

// TestHistoryOfDeath: an asynqd that is killed leaves no row without an end, and no attempt without a row. If
// its disk is gone, see TestPresence.
func TestHistoryOfDeath(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	state := stateDir(t)
	config := postgresConfig(r, p, state, "- {type: \"long\", command: {argv: [sleep, \"4\"]}, retry: {initial_delay: 1s}}\n- {type: \"t\", command: {argv: [cat]}}\n")
	d := StartDaemon(t, config)
	for i := range 5 {
		enqueueAs(t, r, fmt.Sprint("long ", i), "long", "")
		enqueueAs(t, r, fmt.Sprint("short ", i), "t", "")
	}
	Eventually(t, 20*time.Second, "rows of what runs", func() bool {
		return p.Int("SELECT count(*) FROM executions WHERE outcome = 'running' AND finished_at IS NULL") == 5 &&
			p.Int("SELECT count(*) FROM executions WHERE outcome = 'completed'") == 5
	})
	d.Kill()
	d = StartDaemon(t, config)
	// What the dead one left is written beside what is new.
	stop, loaded := make(chan bool), make(chan int)
	go func() {
		client := asynq.NewClientFromRedisClient(r.Client)
		for n := 0; ; n++ {
			select {
			case <-stop:
				loaded <- n
				return
			case <-time.After(5 * time.Millisecond):
				if _, err := client.Enqueue(asynq.NewTask("t", nil)); err != nil {
					n--
				}
			}
		}
	}()
	Eventually(t, 20*time.Second, "the attempts of the dead one", func() bool {
		return p.Int("SELECT count(*) FROM executions WHERE outcome = 'unknown'") == 5
	})
	close(stop)
	more := <-loaded
	executions(t, p, 15+more) // the tasks come back a minute later, when their leases are over
	if unknown := p.Int("SELECT count(*) FROM executions WHERE (outcome = 'unknown' AND error_class = 'instance' OR outcome = 'retried') AND duration_ms IS NULL AND type = 'long'"); unknown != 5 {
		t.Errorf("the end of %d rows is not known", unknown)
	}
	if done := p.Int("SELECT count(*) FROM executions WHERE outcome = 'completed'"); done != 10+more {
		t.Errorf("%d rows are completed", done)
	}
	if entries, _ := os.ReadDir(filepath.Join(state, "spool")); len(entries) != 1 {
		t.Errorf("the spool of the dead one is still there: %v", entries)
	}
	d.End()
	if entries, _ := os.ReadDir(filepath.Join(state, "spool")); len(entries) != 0 {
		t.Errorf("a spool with nothing in it is still there: %v", entries)
	}
	if left := p.Int("SELECT count(*) FROM instances"); left != 0 {
		t.Errorf("%d workers are known after the end", left)
	}
}

// TestPostgresAway: tasks go on without PostgreSQL, and their history comes when it is back; from a stop under load, from
// the start, and after asynqd has ended meanwhile.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	state := stateDir(t)
	config := postgresConfig(r, p, state, "- {type: \"t\", command: {argv: [cat]}}\n")
	d := StartDaemon(t, config)
	n := 0
	work := func(count int) {
		t.Helper()
		for range count {
			enqueueAs(t, r, fmt.Sprint(n), "t", "")
			n++
		}
		Eventually(t, 60*time.Second, "the tasks", func() bool {
			return len(d.Attempts(fmt.Sprint(n-1))) > 0 && r.Int("LLEN", QueueKey("default", "pending")) == 0
		})
	}
	work(50)
	p.Stop()
	work(200)
	Eventually(t, 20*time.Second, "/readyz to tell", func() bool {
		problem, status := readiness(t, d, "postgresql")
		return status == 200 && problem == "there is no connection with PostgreSQL"
	})
	if metric(t, d, "asynqd_postgres_up") != 0 || metric(t, d, "asynqd_spool_records") < 300 || metric(t, d, "asynqd_spool_bytes") < 50000 {
		t.Error("the metrics do not tell that history waits")
	}
	if len(d.Find("postgres unavailable: ")) == 0 {
		t.Errorf("the log does not tell that PostgreSQL is away: %s", d.Text())
	}
	p.Start()
	executions(t, p, 250)
	Eventually(t, 20*time.Second, "the spool to be empty", func() bool { return metric(t, d, "asynqd_spool_bytes") == 0 })

	p.Stop()
	work(30)
	begin := time.Now()
	d.End()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the end took %v", took)
	}
	d = StartDaemon(t, config)
	work(20)
	d.Kill()
	d = StartDaemon(t, config)
	p.Start()
	executions(t, p, 300)
	if twice := p.Int("SELECT count(*) FROM (SELECT task_id FROM executions GROUP BY task_id HAVING count(*) > 1) AS q"); twice != 0 {
		t.Errorf("%d tasks have more than one row", twice)
	}
}

// TestSpoolLimit: beyond its bound the spool takes no more; that is told, and what it has taken comes whole.
func TestSpoolLimit(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	config := postgresConfig(r, p, stateDir(t), "- {type: k, command: {argv: [sh, -c, 'head -c 8000 /dev/zero | tr \"\\0\" x >&2; exit 1'], error_limit: 8kB}}\n")
	d := StartDaemon(t, strings.Replace(config, "postgres: {", "postgres: {spool_max_size: 16MiB, ", 1))
	p.Stop()
	kind := strings.Repeat("k", 3000)
	total := 0
	for metric(t, d, `asynqd_history_lost_total{reason="spool_full"}`) == 0 && total < 4000 {
		for range 200 {
			enqueueAs(t, r, fmt.Sprint(total), kind, "", asynq.MaxRetry(0))
			total++
		}
		Eventually(t, 60*time.Second, "the tasks", func() bool { return r.Int("ZCARD", QueueKey("default", "archived")) >= int64(total) })
	}
	if bytes := metric(t, d, "asynqd_spool_bytes"); bytes > 16<<20 || bytes < 13<<20 {
		t.Errorf("the spool has %v bytes", bytes)
	}
	if len(d.Find("history lost: ")) == 0 {
		t.Errorf("the log does not tell: %s", d.Text())
	}
	p.Start()
	Eventually(t, 60*time.Second, "the spool to be empty", func() bool { return metric(t, d, "asynqd_spool_records") == 0 })
	rows, running := p.Int("SELECT count(*) FROM executions"), p.Int("SELECT count(*) FROM executions WHERE finished_at IS NULL")
	if rows < 1000 || rows > total || running != 0 {
		t.Errorf("%d rows of %d attempts, %d of them without an end", rows, total, running)
	}
}

// TestRefusedRows: a row that PostgreSQL does not take costs only itself.
func TestRefusedRows(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	p.Exec("ALTER TABLE executions ADD CHECK (type <> 'poison')")
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n- {type: poison, command: {argv: [cat]}}\n"))
	for i := range 60 {
		enqueueAs(t, r, fmt.Sprint(i), []string{"t", "t", "t", "t", "poison"}[i%5], "")
	}
	executions(t, p, 48)
	Eventually(t, 20*time.Second, "the refused ones to be counted", func() bool {
		return metric(t, d, `asynqd_history_lost_total{reason="refused"}`) == 24
	})
	Eventually(t, 20*time.Second, "the log to tell of each", func() bool {
		return len(d.Find("history row refused: ")) == 24
	})
	// One whose month is not there yet waits for it.
	p.Exec(time.Now().UTC().Format("ALTER TABLE executions DETACH PARTITION executions_2006_01; ALTER TABLE executions DETACH PARTITION executions_other"))
	enqueueAs(t, r, "early", "t", "")
	Eventually(t, 20*time.Second, "it to wait", func() bool { return len(d.Find("waits for its month: ERROR:  no partition of relation")) > 0 })
	p.Exec("ALTER TABLE executions ATTACH PARTITION executions_other DEFAULT")
	Eventually(t, 20*time.Second, "its row", func() bool {
		return p.Int("SELECT count(*) FROM executions WHERE task_id = 'early' AND finished_at IS NOT NULL") == 1
	})
	if lost := metric(t, d, `asynqd_history_lost_total{reason="refused"}`); lost != 24 {
		t.Errorf("%v rows were refused", lost)
	}
}

// TestRetention: old rows go.
func TestRetention(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	p.Exec(`INSERT INTO executions (id, task_id, queue, type, attempt, started_at, finished_at, outcome, instance)
		SELECT gen_random_uuid(), n, 'q', 't', 1, now() - n * interval '1 minute', now(), 'completed', 'w'
		FROM generate_series(1, 12000) AS n`)
	config := postgresConfig(r, p, stateDir(t), "- {type: \"t\", command: {argv: [cat]}}\n")
	StartDaemon(t, strings.Replace(config, "postgres: {", "postgres: {retention: 10m, ", 1))
	Eventually(t, 30*time.Second, "the old rows to go", func() bool { return p.Int("SELECT count(*) FROM executions") <= 10 })
	if left := p.Int("SELECT count(*) FROM executions"); left < 8 {
		t.Errorf("%d rows are left", left)
	}
}

// TestJobs: the table of jobs is a schedule.
func TestJobs(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	routes := "- {type: t, command: {argv: [cat]}}\n- {type: one, command: {argv: [cat]}}\n- {type: steady, command: {argv: [cat]}}\n"
	first := StartDaemon(t, postgresConfig(r, p, stateDir(t), routes))
	second := StartDaemon(t, postgresConfig(r, p, stateDir(t), routes))
	count := func(job string) int { return p.Int("SELECT count(*) FROM executions WHERE job_id = " + job) }
	id := func(name string) string {
		t.Helper()
		return strconv.Itoa(p.Int("SELECT id FROM jobs WHERE name = '" + name + "'"))
	}
	p.Exec(`INSERT INTO jobs (name, type, payload, options) VALUES
		('now', 'one', '{"b": 1,   "a": "\u20ac"}', '{"retention": "1h", "max_retry": 3, "timeout": "90s", "headers": {"x": "y"}}')`)
	Eventually(t, 10*time.Second, "the task of a new job", func() bool { return count(id("now")) == 1 })
	done := p.Rows("SELECT enqueued_at, invalid_reason, (SELECT task_id FROM executions WHERE job_id = jobs.id) AS task FROM jobs")[0]
	if done["enqueued_at"] == nil || done["invalid_reason"] != nil {
		t.Errorf("the job: %v", done)
	}
	info, err := asynq.NewInspectorFromRedisClient(r.Client).GetTaskInfo("default", done["task"].(string))
	if err != nil || string(info.Payload) != `{"b": 1,   "a": "\u20ac"}` || info.MaxRetry != 3 || info.Timeout != 90*time.Second {
		t.Errorf("its task: %+v, %v", info, err)
	}

	p.Exec(`INSERT INTO jobs (name, type, schedule, queue) VALUES
		('every', 't', '@every 1s', 'default'),
		('soon', 't', '@at ' || to_char(now() AT TIME ZONE 'UTC' + interval '3 seconds', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'default'),
		('long ago', 't', '@at 2001-02-03T04:05:06Z', 'default'),
		('wrong', 't', '* * *', 'default')`)
	p.Exec(`INSERT INTO jobs (name, type, options) VALUES ('typo', 't', '{"tmeout": "3s"}'), ('number', 't', '{"timeout": true}')`)
	p.Exec(`INSERT INTO jobs (name, type, enabled) VALUES ('off', 't', false)`)
	Eventually(t, 20*time.Second, "the tasks", func() bool {
		return count(id("every")) >= 4 && count(id("soon")) == 1 && count(id("long ago")) == 1
	})
	for name, wanted := range map[string]string{"wrong": "has 3 fields", "typo": `there is no key "tmeout"; did you mean "timeout"?`,
		"number": "timeout"} {
		Eventually(t, 10*time.Second, "the problem of "+name, func() bool {
			problem, _ := p.Rows("SELECT invalid_reason FROM jobs WHERE name = '" + name + "'")[0]["invalid_reason"].(string)
			return strings.Contains(problem, wanted)
		})
	}
	p.Exec("UPDATE jobs SET schedule = '@once' WHERE name = 'wrong'")
	Eventually(t, 10*time.Second, "a job that was repaired", func() bool { return count(id("wrong")) == 1 })
	if p.Int("SELECT count(*) FROM jobs WHERE name = 'wrong' AND invalid_reason IS NULL") != 1 {
		t.Error("a job that was repaired still has its problem")
	}
	p.Exec("UPDATE jobs SET enqueued_at = NULL WHERE name = 'now'")
	Eventually(t, 10*time.Second, "a job that is wanted once more", func() bool { return count(id("now")) == 2 })
	p.Exec("UPDATE jobs SET enabled = true WHERE name = 'off'")
	Eventually(t, 10*time.Second, "a job that was enabled", func() bool { return count(id("off")) == 1 })

	every := id("every")
	p.Exec("DELETE FROM jobs WHERE name = 'every'")
	p.Exec("INSERT INTO jobs (name, type, schedule) VALUES ('steady', 'steady', '@every 1s')")
	Eventually(t, 10*time.Second, "its tasks", func() bool { return count(id("steady")) >= 2 })
	before, others := count(every), count(id("steady"))
	Eventually(t, 30*time.Second, "more of them", func() bool { return count(id("steady")) >= others+3 })
	if after := count(every); after != before {
		t.Errorf("a job that was deleted goes on: %d rows, then %d", before, after)
	}
	steady := id("steady")
	p.Stop()
	time.Sleep(3 * time.Second)
	first.Signal(syscall.SIGKILL) // the other one takes over, without PostgreSQL
	first.Kill()
	time.Sleep(9 * time.Second)
	p.Start()
	Eventually(t, 30*time.Second, "the history", func() bool { return count(steady) >= 12 })
	if p.Int("SELECT count(*) - ceil(extract(epoch FROM max(started_at) - min(started_at)))::integer FROM executions WHERE type = 'steady'") > 2 {
		t.Errorf("there were more ticks than seconds: %v", p.Rows("SELECT started_at, worker FROM executions WHERE type = 'steady'"))
	}
	if metric(t, second, `asynqd_jobs{state="invalid"}`) != 2 {
		t.Error("asynqd_jobs does not tell of the broken ones")
	}
}

// TestLockedHistory: a lock on the table of the history holds up neither jobs nor tasks, and the backends do not pile up.
func TestLockedHistory(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"))
	enqueueAs(t, r, "before", "t", "")
	executions(t, p, 1)
	locked := make(chan error, 1)
	go func() {
		locked <- p.Try("BEGIN; LOCK TABLE executions IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(45); COMMIT")
	}()
	waiting := func() int {
		return p.Int("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'asynqd' AND wait_event_type = 'Lock'")
	}
	Eventually(t, 20*time.Second, "the lock", func() bool {
		return p.Int("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'executions'::regclass") == 1
	})
	for i := range 5 {
		p.Exec(fmt.Sprintf("INSERT INTO jobs (name, type) VALUES ('job %d', 't')", i))
	}
	Eventually(t, 20*time.Second, "the tasks of the jobs", func() bool { return len(d.Attempts("")) == 6 })
	highest := 0
	Eventually(t, 60*time.Second, "the lock to end", func() bool {
		if now := waiting(); now > highest {
			highest = now
		}
		return len(locked) == 1
	})
	if err := <-locked; err != nil || highest != 1 {
		t.Errorf("%d backends waited at a time; %v", highest, err)
	}
	executions(t, p, 6)
}

// TestReadOnlyServer: a server that cannot be written to is none; the connection is sought anew until there is one.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"))
	enqueueAs(t, r, "before", "t", "")
	executions(t, p, 1)
	readOnly := func(value string) {
		p.Exec("ALTER DATABASE asynq SET default_transaction_read_only = " + value)
		p.Exec("BEGIN READ WRITE; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'asynqd'; COMMIT")
	}
	readOnly("on")
	Eventually(t, 30*time.Second, "the loss to be told", func() bool { return len(d.Find("session is read-only")) > 0 })
	enqueueAs(t, r, "meanwhile", "t", "")
	d.Attempt("meanwhile", 1)
	if metric(t, d, "asynqd_postgres_up") != 0 {
		t.Error("asynqd_postgres_up is 1")
	}
	p.Exec("BEGIN READ WRITE; ALTER DATABASE asynq SET default_transaction_read_only = off; COMMIT")
	executions(t, p, 2)
}

// TestClientEncoding: texts are right whatever the environment and the database say.
func TestClientEncoding(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	p.Exec("ALTER DATABASE asynq SET client_encoding = 'LATIN1'")
	StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: \"grüße\", command: {argv: [cat]}}\n"))
	p.Exec(`INSERT INTO jobs (name, type, payload) VALUES ('ü', U&'gr\00FC\00DFe', '{"a": "\u00fc"}')`)
	executions(t, p, 1)
	if p.Int(`SELECT count(*) FROM executions WHERE type = U&'gr\00FC\00DFe' AND outcome = 'completed'`) != 1 {
		t.Errorf("%v", p.Rows("SELECT type, outcome, error FROM executions"))
	}
}

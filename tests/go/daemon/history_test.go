package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// oldTables makes the tables as the first asynqd had them, in a schema of the search path, with rows.
func oldTables(t testing.TB, p *Postgres, schema string) {
	t.Helper()
	text, err := os.ReadFile("testdata/first-tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	p.Exec("CREATE SCHEMA IF NOT EXISTS " + schema + "; SET search_path = " + schema + ";\n" + string(text) + `
		INSERT INTO jobs (name, type, schedule) VALUES ('daily', 't', '@daily'), ('once', 't', '@once'), ('done', 't', '@once');
		UPDATE jobs SET enqueued_at = now() WHERE name IN ('done', 'daily');
		INSERT INTO executions (id, task_id, queue, type, attempt, started_at, finished_at, outcome, error_class, worker)
		SELECT gen_random_uuid(), n, 'q', 't', 1, now() - n * interval '1 hour', CASE WHEN n > 1 THEN now() END,
			CASE n WHEN 1 THEN 'running' WHEN 2 THEN 'lost' WHEN 3 THEN 'lost' ELSE 'completed' END,
			CASE n WHEN 2 THEN 'worker' END, 'w' FROM generate_series(1, 3000) AS n;
		INSERT INTO executions (id, task_id, queue, type, attempt, started_at, finished_at, outcome, worker)
		VALUES (gen_random_uuid(), 'future', 'q', 't', 1, now() + interval '50 days', now(), 'completed', 'w'),
			(gen_random_uuid(), 'far future', 'q', 't', 1, now() + interval '3 years', now(), 'completed', 'w');
		INSERT INTO asynqd_workers (id, host, pid) VALUES ('w', 'elsewhere', 1);
		INSERT INTO asynqd_schema (version, name) VALUES (1, 'jobs-and-executions')`)
}

// TestMigrateOldTables: the tables of the first asynqd come into the schema asynqd with all that is in them, wherever they
// were, by however many at once; asynqd then works with them.
func TestMigrateOldTables(t *testing.T) {
	t.Parallel()
	for schema, name := range map[string]string{"public": "public", `"An Odd ""Name"""`: `An Odd "Name"`, "asynqd": "asynqd"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			p, r := StartPostgres(t), StartRedis(t)
			oldTables(t, p, schema)
			uri := p.URI() + ` options='-csearch_path=` + strings.NewReplacer(" ", `\\ `).Replace(schema) + `'`
			var all sync.WaitGroup
			var steps atomicText
			for range 3 {
				all.Add(1)
				go func() {
					defer all.Done()
					text, err := DaemonCommand("migrate", "--postgres-uri", uri).CombinedOutput()
					if err != nil || !strings.HasSuffix(string(text), fmt.Sprintf("the tables have version %d\n", migrations(t))) {
						t.Errorf("asynqd migrate: %v, %s", err, text)
					}
					steps.add(string(text))
				}()
			}
			all.Wait()
			for step, times := range map[string]int{"0001 ": 0, "0002 months\n": 1, "0003 finished-jobs\n": 1,
				"the tables of an older asynqd in the schema " + name + " are those of asynqd now\n": 1} {
				if found := strings.Count(steps.text(), step); found != times {
					t.Errorf("%q is told %d times: %s", step, found, steps.text())
				}
			}
			if left := p.Rows(`SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
				WHERE n.nspname NOT IN ('asynqd', 'information_schema') AND n.nspname NOT LIKE 'pg%'`); len(left) != 0 {
				t.Errorf("outside of the schema there are %v", left)
			}
			for query, wanted := range map[string]int{
				"SELECT count(*) FROM asynqd.executions":                                                              3002,
				"SELECT count(*) FROM asynqd.executions_before":                                                       3000,
				"SELECT count(*) FROM asynqd.executions_other WHERE task_id = 'far future'":                           1,
				"SELECT count(*) FROM asynqd.executions_other":                                                        1,
				"SELECT count(*) FROM asynqd.executions WHERE outcome = 'unknown'":                                    1,
				"SELECT count(*) FROM asynqd.executions WHERE outcome = 'lost'":                                       1,
				"SELECT count(*) FROM asynqd.jobs WHERE enqueued_at IS NULL":                                          2,
				"SELECT count(*) FROM asynqd.instances":                                                               1,
				"SELECT count(*) FROM asynqd.migrations":                                                              migrations(t),
				"SELECT count(*) FROM asynqd.months WHERE ending > now()":                                             3,
				"SELECT count(*) FROM pg_partitioned_table WHERE partrelid = 'asynqd.executions'::regclass":           1,
				"SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'executions_before%' AND schemaname = 'asynqd'": 6,
			} {
				if found := p.Int(query); found != wanted {
					t.Errorf("%s: %d instead of %d", query, found, wanted)
				}
			}
			StartDaemon(t, strings.Replace(postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"),
				p.URI(), strings.ReplaceAll(strings.ReplaceAll(uri, `\`, `\\`), `"`, `\"`), 1))
			Eventually(t, 20*time.Second, "the job that was there", func() bool {
				return p.Int("SELECT count(*) FROM asynqd.executions AS e JOIN asynqd.jobs AS j ON j.id = job_id WHERE name = 'once'") == 1
			})
		})
	}
}

// TestMigrateWithoutRights: who may not make the schema is told what to ask for; a schema that somebody else has made for
// asynqd is enough.
func TestMigrateWithoutRights(t *testing.T) {
	t.Parallel()
	p := StartPostgres(t)
	p.Exec("CREATE ROLE less LOGIN; CREATE ROLE least LOGIN")
	uri := strings.Replace(p.URI(), "user=asynq", "user=less", 1)
	text, err := DaemonCommand("migrate", "--postgres-uri", uri).CombinedOutput()
	if err == nil || !strings.Contains(string(text), `permission denied for database asynq; who may can do so: CREATE SCHEMA asynqd AUTHORIZATION "less"`) {
		t.Errorf("asynqd migrate: %v, %s", err, text)
	}
	p.Exec(`CREATE SCHEMA asynqd AUTHORIZATION "less"`)
	if text, err := DaemonCommand("migrate", "--postgres-uri", uri).CombinedOutput(); err != nil {
		t.Errorf("asynqd migrate: %v, %s", err, text)
	}

	// asynqd itself needs less, and says so when it has not even that.
	r := StartRedis(t)
	config := strings.Replace(postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"), "user=asynq", "user=least", 1)
	d := StartDaemon(t, config)
	Eventually(t, 20*time.Second, "the missing right to be told", func() bool {
		return len(d.Find("permission denied for schema asynqd")) > 0
	})
	p.Exec(`GRANT USAGE ON SCHEMA asynqd TO least; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA asynqd TO least;
		GRANT EXECUTE ON FUNCTION asynqd.make_months, asynqd.drop_months, asynqd.delete_executions TO least`)
	p.Exec(`INSERT INTO asynqd.jobs (name, type) VALUES ('one', 't')`)
	executions(t, p, 1)
	if lines := d.Find("history maintenance failed: the coming months cannot be made"); len(lines) != 0 {
		t.Errorf("%v", lines)
	}
}

// TestMonths: the history is kept in months. Those that are needed are made, also for rows that come late; those behind the
// retention are dropped as tables, but not while an attempt of theirs runs, of one that lives; what comes for a month that is gone goes, too,
// and that is told.
func TestMonths(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	p.Exec("SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'; SELECT asynqd.make_months(NULL)")
	month := func(ago int) string {
		now := time.Now().UTC()
		return time.Date(now.Year(), now.Month()-time.Month(ago), 1, 0, 0, 0, 0, time.UTC).Format("executions_2006_01")
	}
	insert := func(task string, age string, outcome string) {
		t.Helper()
		finished := "now()"
		if outcome == "running" {
			finished = "NULL"
		}
		p.Exec(fmt.Sprintf(`INSERT INTO executions (id, task_id, queue, type, attempt, started_at, finished_at, outcome, instance)
			SELECT gen_random_uuid(), '%s', 'q', 't', 1, %s + n * interval '1 second', %s, '%s', 'w' FROM generate_series(1, 100) AS n`, task, age, finished, outcome))
	}
	ago := func(months int) string {
		return fmt.Sprintf("date_trunc('month', now()) - interval '%d months' + interval '10 days'", months)
	}
	insert("now", "now()", "completed")
	insert("late", ago(2), "completed") // comes when its month was never made
	insert("later", ago(5), "completed")
	insert("future", "now() + interval '5 years'", "completed")
	for old := 8; old <= 10; old++ { // made, and long ago
		p.Exec(fmt.Sprintf("SELECT asynqd.make_month(asynqd.month_of(%s))", ago(old)))
		insert("old", ago(old), "completed")
	}
	insert("old that runs", ago(9), "running")
	p.Exec("INSERT INTO instances (id, host, pid, last_seen_at) VALUES ('w', 'elsewhere', 1, now() + interval '1 hour')")
	p.Exec(fmt.Sprintf(`INSERT INTO executions (id, task_id, queue, type, attempt, started_at, outcome, instance)
		SELECT gen_random_uuid(), 'old of nobody', 'q', 't', 1, %s, 'running', 'nobody'`, ago(8)))
	names := func() map[string]bool {
		found := map[string]bool{}
		for _, row := range p.Rows("SELECT partition::text AS name FROM asynqd.months") {
			found[row["name"].(string)] = true
		}
		return found
	}
	count := func(task string) int { return p.Int("SELECT count(*) FROM executions WHERE task_id = '" + task + "'") }
	if found := names(); !found[month(9)] || !found[month(0)] || !found[month(-1)] || !found[month(-2)] || found[month(2)] {
		t.Fatalf("there are %v", found)
	}
	config := strings.Replace(postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"), "postgres: {", "postgres: {retention: 120d, ", 1)
	d := StartDaemon(t, config)
	Eventually(t, 20*time.Second, "old months to go", func() bool { found := names(); return !found[month(8)] && !found[month(10)] })
	Eventually(t, 20*time.Second, "late rows to go", func() bool { return count("later") == 0 })
	if found := names(); !found[month(2)] || !found[month(9)] || !found[month(-2)] || found[month(5)] {
		t.Errorf("there are %v", found)
	}
	if p.Int("SELECT count(*) FROM "+month(2)) != 100 {
		t.Error("the rows of a month that was missing are not in it")
	}
	for task, wanted := range map[string]int{"now": 100, "late": 100, "old": 100, "old that runs": 100, "future": 100} {
		if found := count(task); found != wanted {
			t.Errorf("%s has %d rows", task, found)
		}
	}
	for _, wanted := range []string{"history partition dropped: asynqd." + month(8), "history rows expired: 100, of months that are not kept any more",
		"history rows misdated: 100, of a clock that was wrong"} {
		if len(d.Find(wanted)) != 1 {
			t.Errorf("the log does not tell %q: %s", wanted, d.Text())
		}
	}
	d.End()
	p.Exec("UPDATE executions SET finished_at = now(), outcome = 'completed' WHERE task_id = 'old that runs'")
	d = StartDaemon(t, config)
	Eventually(t, 20*time.Second, "the last old month to go", func() bool { return !names()[month(9)] })
	enqueueAs(t, r, "one", "t", "")
	Eventually(t, 20*time.Second, "a new row", func() bool {
		return p.Int("SELECT count(*) FROM "+month(0)+" WHERE task_id = 'one' AND finished_at IS NOT NULL") == 1
	})
}

// TestSpoolOfTheDead: what a dead asynqd has left is read when it can be read. Until then nothing is claimed about its
// attempts, and the history of others goes on; pieces that are no lines are counted and told.
func TestSpoolOfTheDead(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	state := stateDir(t)
	folder := filepath.Join(state, "spool", "dead")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	line := func(n int) string {
		at := time.Now().UnixMilli()
		return fmt.Sprintf(`{"id":"00000000-0000-0000-0000-%012d","task_id":"of the dead","queue":"q","type":"t","attempt":1,`+
			`"started_at":%d,"finished_at":%d,"outcome":"completed"}`+"\n", n, at, at)
	}
	segment := filepath.Join(folder, "00000001.jsonl")
	text := line(1) + strings.Repeat("\x00", 600<<10) + "\n" + line(2) + strings.Repeat("\x00", 4096) + line(3)
	must(os.MkdirAll(folder, 0o700))
	must(os.WriteFile(filepath.Join(folder, "lock"), nil, 0o600))
	must(os.WriteFile(segment, []byte(text), 0o600))
	p.Exec(`INSERT INTO executions (id, task_id, queue, type, attempt, started_at, outcome, instance)
		VALUES ('00000000-0000-0000-0000-000000000009', 'open', 'q', 't', 1, now(), 'running', 'dead')`)
	p.Exec(`INSERT INTO instances (id, host, pid, last_seen_at) VALUES ('dead', 'here', 1, now() + interval '1 hour')`)
	p.Stop()
	d := StartDaemon(t, postgresConfig(r, p, state, "- {type: t, command: {argv: [cat]}}\n"))
	must(os.Rename(segment, filepath.Join(state, "aside")))
	must(os.Mkdir(segment, 0o700)) // what cannot be read
	p.Start()
	Eventually(t, 30*time.Second, "the error to be told", func() bool {
		return len(d.Find("history unreadable: spool dead: Is a directory")) == 1
	})
	for i := range 5 {
		enqueueAs(t, r, fmt.Sprint(i), "t", "")
	}
	ended := func(count int) {
		t.Helper()
		Eventually(t, 30*time.Second, "the rows", func() bool {
			return p.Int("SELECT count(*) FROM executions WHERE finished_at IS NOT NULL") == count
		})
	}
	ended(5)
	if p.Int("SELECT count(*) FROM executions WHERE task_id = 'open' AND outcome = 'running'") != 1 {
		t.Error("an attempt was given an end before all of its asynqd had been read")
	}
	must(os.Remove(segment))
	must(os.Rename(filepath.Join(state, "aside"), segment))
	ended(9)
	for query, wanted := range map[string]int{"task_id = 'of the dead' AND outcome = 'completed' AND instance = 'dead'": 3,
		"task_id = 'open' AND outcome = 'unknown'": 1} {
		if found := p.Int("SELECT count(*) FROM executions WHERE " + query); found != wanted {
			t.Errorf("%d rows where %s", found, query)
		}
	}
	for reason, wanted := range map[string]float64{"unreadable": 2, "spool_full": 0, "write_failed": 0, "disk_slow": 0, "no_memory": 0, "refused": 0} {
		if lost := metric(t, d, `asynqd_history_lost_total{reason="`+reason+`"}`); lost != wanted {
			t.Errorf("%s: %v lines are lost", reason, lost)
		}
	}
	if len(d.Find("spool dead: pieces that are no lines")) == 0 {
		t.Errorf("the log does not tell: %s", d.Text())
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("the folder of the dead is still there")
	}
}

// TestFullDisk: lines that a full disk does not take are counted as such, and the history goes on when there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small disk; the unit test full_disk does so for itself")
	}
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	state := stateDir(t)
	if err := syscall.Mount("asynqd-test", state, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(state, syscall.MNT_DETACH) })
	d := StartDaemon(t, postgresConfig(r, p, state, "- {type: t, command: {argv: [cat]}}\n"))
	p.Stop()
	total := 0
	for metric(t, d, `asynqd_history_lost_total{reason="write_failed"}`) == 0 && total < 4000 {
		for range 200 {
			enqueueAs(t, r, fmt.Sprint(total), "t", "")
			total++
		}
		Eventually(t, 60*time.Second, "the tasks", func() bool { return len(d.Attempts("")) >= total })
	}
	if len(d.Find("history lost: ")) == 0 || len(d.Find("No space left on device")) == 0 {
		t.Errorf("the log does not tell: %s", d.Text())
	}
	if files, _ := filepath.Glob(filepath.Join(state, "spool", "*", "*")); len(files) > 3 {
		t.Errorf("there are %d files", len(files))
	}
	p.Start()
	Eventually(t, 60*time.Second, "the spool to be empty", func() bool { return metric(t, d, "asynqd_spool_bytes") == 0 })
	lost := metric(t, d, `asynqd_history_lost_total{reason="write_failed"}`)
	if written := metric(t, d, "asynqd_history_written_total"); written+lost != float64(2*total) {
		t.Errorf("%v lines are written and %v lost, of %d", written, lost, 2*total)
	}
	before := total
	Eventually(t, 20*time.Second, "the history to go on", func() bool { // the file is removed a little after it was read
		enqueueAs(t, r, fmt.Sprint(total), "t", "")
		total++
		return p.Int(fmt.Sprintf("SELECT count(*) FROM executions WHERE task_id::integer >= %d AND outcome = 'completed'", before)) > 0
	})
}

// TestNoSpool: a state directory that cannot be written keeps no task from running; what is lost is told, and the history
// begins when there is a place for it.
func TestNoSpool(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	state := filepath.Join(stateDir(t), "state")
	if err := os.WriteFile(state, []byte("no directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := StartDaemon(t, postgresConfig(r, p, state, "- {type: t, command: {argv: [cat]}}\n"))
	enqueueAs(t, r, "lost", "t", "")
	d.Attempt("lost", 1)
	Eventually(t, 20*time.Second, "the loss to be counted", func() bool {
		return metric(t, d, `asynqd_history_lost_total{reason="write_failed"}`) == 2
	})
	for _, wanted := range []string{"history lost: there is no spool: " + state} {
		if len(d.Find(wanted)) != 1 {
			t.Errorf("the log does not tell %q: %s", wanted, d.Text())
		}
	}
	if _, status := readiness(t, d, "redis"); status != 200 {
		t.Errorf("it is not ready: %d", status)
	}
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	enqueueAs(t, r, "kept", "t", "")
	if rows := executions(t, p, 1); rows[0]["task_id"] != "kept" {
		t.Errorf("%v", rows)
	}
}

// migrations is how many there are.
func migrations(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob("../../../sql/[0-9]*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: %d migrations", err, len(files))
	}
	return len(files)
}

// TestSchemas: two fleets in one database, each with a schema of its own, one of whose names is a word of SQL.
func TestSchemas(t *testing.T) {
	t.Parallel()
	p := StartPostgres(t)
	for _, schema := range []string{"order", "asynqd"} {
		text, err := DaemonCommand("migrate", "--postgres-uri", p.URI(), "--postgres-schema", schema).CombinedOutput()
		if err != nil || !strings.Contains(string(text), "made the schema "+schema+"\n") {
			t.Fatalf("%v: %s", err, text)
		}
	}
	count := func(schema, task string) int {
		return p.Int(fmt.Sprintf(`SELECT count(*) FROM "%s".executions AS e JOIN "%s".jobs AS j ON j.id = job_id WHERE name = '%s' AND outcome = 'completed'`, schema, schema, task))
	}
	for _, schema := range []string{"order", "asynqd"} {
		d := StartDaemon(t, strings.Replace(postgresConfig(StartRedis(t), p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"),
			"postgres: {", "postgres: {schema: "+schema+", ", 1))
		p.Exec(fmt.Sprintf(`INSERT INTO "%s".jobs (name, type) VALUES ('of %s', 't')`, schema, schema))
		Eventually(t, 20*time.Second, "the job of "+schema, func() bool { return count(schema, "of "+schema) == 1 })
		if lines := d.Find("postgres unavailable: "); len(lines) != 0 {
			t.Errorf("%v", lines)
		}
	}
	if n := p.Int(`SELECT count(*) FROM "order".executions`); n != 1 {
		t.Errorf("there are %d rows", n)
	}
	for _, name := range []string{"", "Order", "a b", "a\"b", "1a", strings.Repeat("a", 49)} {
		text, err := DaemonCommand("migrate", "--postgres-uri", p.URI(), "--postgres-schema="+name).CombinedOutput()
		if err == nil || !strings.Contains(string(text), "is no name of a schema; it has small letters, digits and underscores, 48 at most") {
			t.Errorf("%q: %v, %s", name, err, text)
		}
	}
}

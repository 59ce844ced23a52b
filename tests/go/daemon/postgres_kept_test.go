package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestGrantsAreKept: who could read or write the history before a migration that makes its table anew can do so after it,
// column by column, and hand it on.
func TestGrantsAreKept(t *testing.T) {
	t.Parallel()
	p := StartPostgres(t)
	oldTables(t, p, "public")
	p.Exec(`CREATE ROLE reader; CREATE ROLE "Column Reader"; CREATE ROLE writer; CREATE ROLE former; CREATE ROLE nobody;
		ALTER TABLE executions OWNER TO former;
		GRANT SELECT ON executions TO reader WITH GRANT OPTION; GRANT SELECT (task_id), UPDATE (error) ON executions TO "Column Reader";
		GRANT INSERT, DELETE ON executions TO writer; GRANT REFERENCES ON executions TO PUBLIC;
		CREATE VIEW "of somebody" AS SELECT task_id FROM executions`)
	text, err := DaemonCommand("migrate", "--postgres-uri="+p.URI()).CombinedOutput()
	if err != nil || !strings.Contains(string(text), `only old rows are seen by what reads the history: "of somebody"; make it anew`) {
		t.Fatalf("%v: %s", err, text)
	}
	for query, wanted := range map[string]bool{
		"has_table_privilege('reader', 'asynqd.executions', 'SELECT WITH GRANT OPTION')":  true,
		"has_table_privilege('reader', 'asynqd.executions', 'INSERT')":                    false,
		"has_column_privilege('Column Reader', 'asynqd.executions', 'task_id', 'SELECT')": true,
		"has_column_privilege('Column Reader', 'asynqd.executions', 'error', 'UPDATE')":   true,
		"has_column_privilege('Column Reader', 'asynqd.executions', 'queue', 'SELECT')":   false,
		"has_table_privilege('writer', 'asynqd.executions', 'DELETE')":                    true,
		"has_table_privilege('writer', 'asynqd.executions', 'INSERT WITH GRANT OPTION')":  false,
		"has_table_privilege('writer', 'asynqd.executions', 'SELECT')":                    false,
		"has_table_privilege('former', 'asynqd.executions', 'TRUNCATE')":                  true,
		"has_table_privilege('nobody', 'asynqd.executions', 'REFERENCES')":                true,
		"has_table_privilege('nobody', 'asynqd.executions', 'SELECT')":                    false,
		"has_any_column_privilege('nobody', 'asynqd.executions', 'SELECT')":               false,
	} {
		if found := p.Int("SELECT ("+query+")::integer") == 1; found != wanted {
			t.Errorf("%s: %v", query, found)
		}
	}
	p.Exec("GRANT USAGE ON SCHEMA asynqd TO reader; SET ROLE reader; SELECT count(*) FROM asynqd.executions")
}

// TestSettingsOfTheRole: whatever the role has set, months begin when they begin, and texts mean what they say.
func TestSettingsOfTheRole(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	oldTables(t, p, "public")
	for _, setting := range []string{"timezone = 'Asia/Kolkata'", "datestyle = 'SQL, DMY'", "intervalstyle = 'sql_standard'",
		"standard_conforming_strings = off", "transform_null_equals = on", "quote_all_identifiers = on", "default_transaction_isolation = serializable",
		"default_transaction_read_only = off"} {
		p.Exec("ALTER ROLE asynq SET " + setting)
	}
	p.Migrate()
	StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"))
	p.Exec("SELECT asynqd.make_month(asynqd.month_of(now() + interval '400 days'))")
	if odd := p.Rows(`SELECT * FROM asynqd.months WHERE ending <> asynqd.month_of(ending)
		OR (beginning <> '-infinity' AND beginning <> asynqd.month_of(beginning))`); len(odd) != 0 {
		t.Errorf("months that are none: %v", odd)
	}
	if bounds := p.Rows(`SELECT pg_get_expr(relpartbound, oid) AS b FROM pg_class WHERE relispartition AND relkind = 'r'`); strings.Count(fmt.Sprint(bounds), "05:30:00 IST") != 7 {
		t.Errorf("they begin at another time than midnight in UTC: %v", bounds)
	}
	if months := p.Int("SELECT count(*) FROM asynqd.months WHERE ending > now()"); months != 4 {
		t.Errorf("there are %d months", months)
	}
	Eventually(t, 20*time.Second, "the job that was there", func() bool {
		return p.Int(`SELECT count(*) FROM executions AS e JOIN jobs AS j ON j.id = job_id WHERE name = 'once' AND outcome = 'completed'`) == 1
	})
}

// TestOldTablesOfOthers: a fleet with a schema of its own takes the old tables in it, and not those of another one, whose asynqd is
// older.
func TestOldTablesOfOthers(t *testing.T) {
	t.Parallel()
	p := StartPostgres(t)
	oldTables(t, p, "public")
	migrate := func(schema string) string {
		t.Helper()
		text, err := DaemonCommand("migrate", "--postgres-uri", p.URI(), "--postgres-schema", schema).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, text)
		}
		return string(text)
	}
	oldTables(t, p, "own")
	p.Exec("DELETE FROM own.executions WHERE task_id <> '7'")
	if text := migrate("own"); !strings.Contains(text, "the tables of an older asynqd in the schema own are those of asynqd now") ||
		p.Int("SELECT count(*) FROM own.executions") != 1 {
		t.Error(text)
	}
	if text := migrate("second"); !strings.Contains(text, "the tables of an older asynqd in the schema public stay there") {
		t.Error(text)
	}
	if p.Int("SELECT count(*) FROM public.executions") != 3002 || p.Int("SELECT count(*) FROM second.executions") != 0 {
		t.Error("the tables were taken")
	}
	if text := migrate("asynqd"); !strings.Contains(text, "the tables of an older asynqd in the schema public are those of asynqd now") {
		t.Error(text)
	}
	if p.Int("SELECT count(*) FROM asynqd.executions") != 3002 {
		t.Error("they were not taken by those whose they are")
	}
	for _, name := range []string{"pg_catalog", "pg_temp", "pg_own", "information_schema"} {
		text, err := DaemonCommand("migrate", "--postgres-uri", p.URI(), "--postgres-schema", name).CombinedOutput()
		if err == nil || !strings.Contains(string(text), "--postgres-schema: postgres.schema: \""+name+"\" is a schema of PostgreSQL's own") {
			t.Errorf("%q: %v, %s", name, err, text)
		}
	}
}

// TestPresence: who was away as long as all others says nothing about them, and who comes back has its attempts back. Those of
// which nobody will ever tell get an end, so that their month can go.
func TestPresence(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	attempt := func(n int, worker, at string) {
		t.Helper()
		p.Exec(fmt.Sprintf(`INSERT INTO executions (id, task_id, queue, type, attempt, started_at, outcome, instance)
			VALUES ('00000000-0000-0000-0000-%012d', '%d', 'q', 't', 1, %s, 'running', '%s')`, n, n, at, worker))
	}
	open := func(n int) bool {
		return p.Int(fmt.Sprintf("SELECT count(*) FROM executions WHERE task_id = '%d' AND outcome = 'running' AND finished_at IS NULL", n)) == 1
	}
	config := func() string {
		return "shutdown_timeout: 100ms\n" + postgresConfig(r, p, stateDir(t), "- {type: long, command: {argv: [sleep, '600']}}\n")
	}
	p.Exec("INSERT INTO instances (id, host, pid, last_seen_at) VALUES ('other', 'elsewhere', 1, now() - interval '5 minutes')")
	attempt(1, "other", "now()")
	attempt(2, "nobody", "now() - interval '2 days'")
	attempt(3, "nobody", "now() - interval '1 hour'")
	back := StartDaemon(t, config())
	enqueueAs(t, r, "long", "long", "")
	Eventually(t, 20*time.Second, "its own attempt", func() bool {
		return p.Int("SELECT count(*) FROM executions WHERE task_id = 'long' AND outcome = 'running'") == 1
	})
	d := StartDaemon(t, config())
	own := fmt.Sprintf("id LIKE '%%-%d-%%'", d.Pid())
	Eventually(t, 20*time.Second, "it to be seen", func() bool { return p.Int("SELECT count(*) FROM instances WHERE "+own) == 1 })
	if !open(1) || !open(3) || p.Int("SELECT count(*) FROM instances WHERE id = 'other'") != 1 {
		t.Error("one that has just come has said that another one is gone")
	}
	Eventually(t, 20*time.Second, "the attempt of nobody", func() bool { return !open(2) })
	// One that was here for longer may say so; but some do so wrongly. What another one is doing to a third is not waited for.
	p.Exec("INSERT INTO instances (id, host, pid, last_seen_at) VALUES ('locked', 'elsewhere', 1, now() - interval '5 minutes')")
	go p.Try("BEGIN; SELECT FROM instances WHERE id = 'locked' FOR UPDATE; SELECT pg_sleep(60); COMMIT")
	Eventually(t, 20*time.Second, "the lock", func() bool {
		return p.Int("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND wait_event = 'PgSleep'") == 1
	})
	p.Exec("UPDATE instances SET present_since = now() - interval '2 minutes' WHERE " + own)
	p.Exec("UPDATE executions SET outcome = 'unknown', finished_at = now(), error_class = 'instance', error = 'x' WHERE task_id = 'long'")
	p.Exec(fmt.Sprintf("DELETE FROM instances WHERE id LIKE '%%-%d-%%'", back.Pid()))
	Eventually(t, 30*time.Second, "the other one to be given up", func() bool { return !open(1) })
	if p.Int("SELECT count(*) FROM instances WHERE id = 'locked'") != 1 {
		t.Error("the third one was not locked meanwhile, so this has shown nothing")
	}
	Eventually(t, 30*time.Second, "one to be back", func() bool {
		return p.Int("SELECT count(*) FROM executions WHERE task_id = 'long' AND outcome = 'running' AND finished_at IS NULL AND error IS NULL") == 1
	})
	// The end of an attempt was lost.
	attempt(4, fmt.Sprint(p.Rows("SELECT id FROM instances WHERE " + own)[0]["id"]), "now()")
	d.End()
	if open(4) {
		t.Error("an attempt of one that has ended is still running")
	}
}

// TestRetriesAreSpread: what PostgreSQL refuses again and again is tried less and less often.
func TestRetriesAreSpread(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	p.Exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE n CONSTANT bigint := nextval(format('asynqd.%s_tries', TG_ARGV[0]));
		BEGIN
			PERFORM setval(format('asynqd.%s_%s', TG_ARGV[0], n), (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
			RAISE EXCEPTION 'no';
		END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW WHEN (NEW.enqueued_at IS NOT NULL) EXECUTE FUNCTION refuse('job');
		CREATE TRIGGER refuse BEFORE INSERT ON executions FOR EACH STATEMENT EXECUTE FUNCTION refuse('row');
		INSERT INTO jobs (name, type) VALUES ('one', 't')`)
	for _, kind := range []string{"job", "row"} {
		for _, name := range []string{"tries", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
			p.Exec("CREATE SEQUENCE " + kind + "_" + name)
		}
	}
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"))
	for _, kind := range []string{"job", "row"} {
		Eventually(t, 60*time.Second, "three tries", func() bool { return p.Int("SELECT last_value FROM "+kind+"_3") > 1 })
		first, third := kind+"_1", kind+"_3"
		if ms := p.Int(fmt.Sprintf("SELECT %s.last_value - %s.last_value FROM %s, %s", third, first, first, third)); ms < 2800 { // 1 s and 2 s
			t.Errorf("%s: the third one came %d ms after the first", kind, ms)
		}
	}
	if len(d.Attempts("")) != 1 {
		t.Errorf("it ran %d times", len(d.Attempts("")))
	}
}

package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// finishedJobs makes jobs whose tasks were enqueued an hour and more ago.
func finishedJobs(p *Postgres, count int) {
	p.Exec(fmt.Sprintf(`INSERT INTO jobs (name, type, enqueued_at)
		SELECT 'finished ' || n, 't', now() - interval '1 hour' - n * interval '1 second' FROM generate_series(1, %d) AS n`, count))
}

// TestFinishedJobs: what a change of a job costs PostgreSQL does not depend on how many others are done.
func TestFinishedJobs(t *testing.T) {
	t.Parallel()
	const finished, more = 200000, 20
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	finishedJobs(p, finished)
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"))
	p.Exec("INSERT INTO jobs (name, type, schedule) VALUES ('wrong', 't', 'every day'), ('other', 't', '@every 1h')")
	Eventually(t, 30*time.Second, "the problem of a job", func() bool {
		return p.Int("SELECT count(*) FROM jobs WHERE invalid_reason IS NOT NULL") == 1
	})
	if valid := metric(t, d, `asynqd_jobs{state="valid"}`); valid != 1 {
		t.Errorf("%v jobs are valid", valid)
	}
	// Each session tells its numbers at most once a second.
	time.Sleep(1500 * time.Millisecond)
	read := func(what string) int {
		return p.Int("SELECT " + what + " FROM pg_stat_user_tables WHERE relname = 'jobs'")
	}
	rows, changed := "seq_tup_read + idx_tup_fetch", "n_tup_upd"
	rowsBefore, changedBefore := read(rows), read(changed)
	for i := range more {
		p.Exec(fmt.Sprintf("INSERT INTO jobs (name, type) VALUES ('new %d', 't')", i))
		Eventually(t, 30*time.Second, "its task", func() bool { return len(d.Attempts("")) == i+1 })
	}
	Eventually(t, 30*time.Second, "the jobs to be marked", func() bool { return read(changed)-changedBefore >= more })
	time.Sleep(1500 * time.Millisecond)
	// Counting the changed rows reads none of the table, which is looked at by name only in the catalogue.
	if rows, changed := read(rows)-rowsBefore, read(changed)-changedBefore; rows > 100*more || changed > 3*more {
		t.Errorf("%d jobs read %d rows and changed %d", more, rows, changed)
	}
}

// TestJobsRetention: jobs that are done go when they are old enough, if that is wanted.
func TestJobsRetention(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	finishedJobs(p, 12000)
	p.Exec(`INSERT INTO jobs (name, type, schedule, enabled) VALUES ('periodic', 't', '@every 1h', true), ('off', 't', '@once', false);
		INSERT INTO jobs (name, type, enqueued_at) VALUES ('just done', 't', now())`)
	config := postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n")
	left := func() int { return p.Int("SELECT count(*) FROM jobs WHERE name NOT LIKE 'finished %'") }
	finished := func() int { return p.Int("SELECT count(*) FROM jobs WHERE name LIKE 'finished %'") }
	d := StartDaemon(t, config)
	p.Exec("INSERT INTO jobs (name, type) VALUES ('one', 't')")
	Eventually(t, 20*time.Second, "its task", func() bool { return len(d.Attempts("")) == 1 })
	if finished() != 12000 || left() != 4 {
		t.Errorf("%d and %d jobs are left, though all are kept", finished(), left())
	}
	d.End()
	d = StartDaemon(t, strings.Replace(config, "postgres: {", "postgres: {jobs_retention: 90m, ", 1))
	Eventually(t, 30*time.Second, "old jobs to go", func() bool { return finished() <= 1800 })
	p.Exec("INSERT INTO jobs (name, type) VALUES ('another', 't')")
	Eventually(t, 20*time.Second, "its task", func() bool { return len(d.Attempts("")) == 1 })
	if finished() < 1700 || left() != 5 {
		t.Errorf("%d and %d jobs are left", finished(), left())
	}
}

// TestLostNotifications: behind a pooler that loses them jobs take effect all the same, a little later, and it is told.
func TestLostNotifications(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	lost := "postgres notifications lost: as behind a pooler in transaction mode"
	config := postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n")
	good := StartDaemon(t, strings.Replace(config, "postgres: {", "postgres: {jobs: true, ", 1))
	d := StartDaemon(t, strings.Replace(strings.Replace(config, p.URI(), LossyPooler(t, p), 1), "state_directory: ", "state_directory: "+stateDir(t), 1))
	Eventually(t, 40*time.Second, "the loss to be told", func() bool { return len(d.Find(lost)) == 1 })
	good.End()
	for i := range 2 {
		p.Exec(fmt.Sprintf("INSERT INTO jobs (name, type) VALUES ('%d', 't')", i))
		Eventually(t, 30*time.Second, "its task", func() bool { return len(d.Attempts("")) == i+1 })
	}
	if len(good.Find(lost)) != 0 || len(d.Find(lost)) != 1 {
		t.Errorf("it is told too often, or by one that has its notifications: %s\n%s", good.Text(), d.Text())
	}
}

// TestLockedJob: a job that somebody has locked holds up no other, and is marked when it is free.
func TestLockedJob(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), "- {type: t, command: {argv: [cat]}}\n"))
	p.Exec(`INSERT INTO jobs (name, type, schedule) VALUES ('locked', 't',
		'@at ' || to_char(now() AT TIME ZONE 'UTC' + interval '4 seconds', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))`)
	locked := make(chan error, 1)
	go func() {
		locked <- p.Try("BEGIN; SELECT FROM jobs WHERE name = 'locked' FOR UPDATE; SELECT pg_sleep(30); COMMIT")
	}()
	Eventually(t, 20*time.Second, "its task", func() bool { return len(d.Attempts("")) == 1 })
	for i := range 3 { // none of them may be behind the first one
		p.Exec(fmt.Sprintf("INSERT INTO jobs (name, type) VALUES ('free %d', 't')", i))
		Eventually(t, 20*time.Second, "the task of another one", func() bool { return len(d.Attempts("")) == i+2 })
		Eventually(t, 20*time.Second, "its mark", func() bool {
			return p.Int(fmt.Sprintf("SELECT count(*) FROM jobs WHERE name = 'free %d' AND enqueued_at IS NOT NULL", i)) == 1
		})
	}
	if len(locked) != 0 || p.Int("SELECT count(*) FROM jobs WHERE name = 'locked' AND enqueued_at IS NULL") != 1 {
		t.Error("the job was not locked meanwhile, so this has shown nothing")
	}
	if err := <-locked; err != nil {
		t.Error(err)
	}
	Eventually(t, 20*time.Second, "the mark of the first one", func() bool {
		return p.Int("SELECT count(*) FROM jobs WHERE enqueued_at IS NOT NULL") == 4
	})
	if len(d.Attempts("")) != 4 {
		t.Errorf("%d attempts", len(d.Attempts("")))
	}
}

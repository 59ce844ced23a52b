package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// steering is the first character that could steer a terminal, or mislead who reads it: one that nobody sees, or one of a
// heap of marks over one letter; 0: there is none.
func steering(text string) rune {
	marks := 0
	for _, c := range text {
		if c != '\n' && !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			return c
		}
		if unicode.In(c, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return c
		}
		if marks++; !unicode.In(c, unicode.Mn, unicode.Me) {
			marks = 0
		}
		if marks > 4 {
			return c
		}
	}
	return 0
}

// TestNothingSteersTheTerminal: whatever ids, queues, types, errors, groups, headers and results consist of, no command prints a
// control character, one of C1, or a mark that turns the direction of text.
func TestNothingSteersTheTerminal(t *testing.T) {
	t.Parallel()
	for name, evil := range map[string]string{
		"controls": "\x1b[2J\x1b]0;x\x07\rb\bc\x7f\u009b31m\u0085",
		"unseen":   "\u202etxt\u2066\u200f\u2028\u00ad\ufeff\U000e0041\u061ca\ufe0f\u3164\u115f\u034f\U000e0100b" + strings.Repeat("\u0336", 20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			client := asynq.NewClient(r.Opt())
			defer client.Close()
			queue, group := "q"+evil, "g"+evil
			add := func(id string, opts ...asynq.Option) {
				t.Helper()
				task := asynq.NewTaskWithHeaders("t"+evil, []byte("p"+evil), map[string]string{"h" + evil: "v" + evil})
				if _, err := client.Enqueue(task, append(opts, asynq.TaskID(id+evil), asynq.Queue(queue))...); err != nil {
					t.Fatal(err)
				}
			}
			add("pending")
			add("later", asynq.ProcessIn(time.Hour), asynq.Unique(time.Hour))
			add("grouped", asynq.Group(group))
			// One that has failed, and one that is done.
			dead := &base.TaskMessage{Type: "t" + evil, ID: "dead" + evil, Queue: queue, ErrorMsg: "e" + evil, Payload: []byte("p" + evil)}
			r.Client.HSet(Ctx, QueueKey(queue, "t:"+dead.ID), "msg", Encode(t, dead), "state", "archived")
			r.Do("ZADD", QueueKey(queue, "archived"), time.Now().Unix(), dead.ID)
			id := "pending" + evil
			file := filepath.Join(t.TempDir(), "schedule.yaml")
			os.WriteFile(file, []byte(fmt.Sprintf("entries:\n- {name: %q, spec: \"@daily\", type: %q}\n- {name: b, spec: %q, type: t}\n", "n\u202e", "t\u202e", "x\u009b")), 0o600)
			for _, words := range [][]string{
				{"stats"}, {"queue", "ls"}, {"queue", "inspect", queue}, {"queue", "inspect", queue, queue + "none"}, {"queue", "history", queue},
				{"queue", "pause", queue}, {"queue", "pause", queue}, {"queue", "unpause", queue}, {"queue", "unpause", queue}, {"queue", "nodes", queue},
				{"task", "ls", "-s", "pending", "-q", queue}, {"task", "ls", "-s", "archived", "-q", queue}, {"task", "ls", "-s", "retry", "-q", queue},
				{"task", "ls", "-s", "aggregating", "-q", queue, "-g", group}, {"task", "find", "-s", "archived", "-q", queue},
				{"task", "inspect", "-q", queue, id, "later" + evil, "dead" + evil, "none" + evil}, {"task", "wait", "-q", queue, "dead" + evil},
				{"task", "wait", "-q", queue, "none" + evil}, {"task", "run", "-q", queue, "dead" + evil}, {"task", "run", "-q", queue, id},
				{"task", "archive", "-q", queue, "dead" + evil}, {"task", "cancel", id}, {"task", "update", "-q", queue, "-l", "x", "later" + evil},
				{"task", "update", "-q", queue, "-l", "x", id}, {"task", "delete", "-q", queue, id}, {"task", "deleteall", "-s", "pending", "-q", queue},
				{"task", "enqueue", "-t", "t" + evil, "-l", "x", "-i", "new" + evil, "-q", queue}, {"task", "enqueue", "-t", "t" + evil, "-l", "x", "-i", "new" + evil, "-q", queue},
				{"task", "enqueue", "-t", "t", "-l", "x", "--retry", "1" + evil}, {"task" + evil}, {"queue", "ls", "--" + evil}, {"task", "inspect", "-q", queue + "none", id},
				{"group", "ls", "-q", queue}, {"group", "ls", "-q", queue + "none"}, {"server", "ls"}, {"cron", "ls"}, {"cron", "history", "x" + evil},
				{"cron", "next", "x" + evil}, {"cron", "check", file}, {"cron", "check", file + evil}, {"fsck", "-q", queue}, {"quarantine", "ls"},
				{"queue", "rm", queue}, {"export", "-q", queue}, {"queue", "rm", "-f", "-y", queue + "none"}, {"queue", "rm", "-f", "-y", queue},
				{"stats", "-u", "redis://" + evil, "--timeout", "200ms"},
			} {
				for _, format := range []string{"", "--json"} {
					ran := ctl(t, r, append(append([]string{}, words...), strings.Fields(format)...)...)
					if c := steering(ran.out + ran.err); c != 0 {
						t.Errorf("%q %s prints %U: %q %q", words, format, c, ran.out, ran.err)
					}
				}
			}
		})
	}
}

// shown is what a command prints on a terminal of 160 columns, in this locale.
func shown(t *testing.T, r *Redis, locale string, args ...string) string {
	t.Helper()
	command := fmt.Sprintf("stty cols 160; exec env -u LANG -u LC_CTYPE LC_ALL=%s NO_COLOR=1 ASYNQ_REDIS_URI=%s %s %s", locale, r.URI(),
		filepath.Join(BuildDir(), "asynqctl"), strings.Join(args, " "))
	out, err := exec.Command("script", "-qec", command, "/dev/null").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

// columns counts those of wide characters twice, and those of marks not at all.
func columns(text string) (count int) {
	for _, c := range text {
		switch {
		case unicode.In(c, unicode.Mn, unicode.Me):
		case unicode.In(c, unicode.Han, unicode.Hiragana) || c >= 0x1f300:
			count += 2
		default:
			count++
		}
	}
	return count
}

// TestColumnsOfTables: a table on a terminal has its columns one below the other, whatever its cells consist of and whether or
// not a locale is chosen, and no row is longer than the screen. In a locale without UTF-8 all is ASCII.
func TestColumnsOfTables(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	names := []string{"plain", "\u65e5\u672c\u8a9e", "e\u0301\u0302", "\U0001f600\U0001f680", "\U0001fae8", "a\\x0a", "a\n", "\u304b\u3099", "\u0301", strings.Repeat("\u65e5", 40), strings.Repeat("x", 1000000)}
	for _, name := range names {
		r.Do("SADD", "asynq:queues", name)
	}
	for _, locale := range []string{"", "C.UTF-8"} {
		lines := strings.Split(strings.TrimSpace(shown(t, r, locale, "queue", "ls")), "\n")
		seen := map[string]bool{}
		for _, line := range lines {
			name := strings.Fields(line)[0]
			if at := strings.Index(line, " runs "); seen[name] || columns(line) > 160 || len(lines) != 1+len(names) ||
				at >= 0 && columns(line[:at]) != strings.Index(lines[0], " STATE") {
				t.Errorf("locale %q: %q does not fit in\n%s", locale, line, strings.Join(lines, "\n"))
			}
			seen[name] = true
		}
	}
	for _, c := range shown(t, r, "C", "queue", "ls") + shown(t, r, "C", "queue", "ls", "--json") {
		if c > 0x7e {
			t.Fatalf("%U is no ASCII", c)
		}
	}
}

// TestPayloadsAreShown: whatever a payload or result consists of is shown, all of it where one task is looked at; where it is cut,
// there is a mark.
func TestPayloadsAreShown(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	for id, payload := range map[string]string{"binary": "a\x00b\xff\\x00\n", "long": strings.Repeat("x", 1000) + "end", "huge": strings.Repeat("\u65e5", 100_000)} {
		if _, err := client.Enqueue(asynq.NewTask("t", []byte(payload)), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{"binary": `a\x00b\xff\\x00\n`, "long": "xend\n", "huge": "300000 bytes in all"} {
		if ran := ctl(t, r, "task", "inspect", "-q", "default", id); !strings.Contains(ran.out, want) || !utf8.ValidString(ran.out) {
			t.Errorf("%s: %.300q", id, ran.out)
		}
	}
	out := ctl(t, r, "task", "ls", "-q", "default", "-s", "pending").out
	if !strings.Contains(out, `a\x00b\xff\\x00\n`) || strings.Count(out, "…") != 2 {
		t.Errorf("%q", out)
	}
}

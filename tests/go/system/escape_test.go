package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// steering is the first character that could steer a terminal, or mislead who reads it; 0: there is none.
func steering(text string) rune {
	for _, c := range text {
		if c != '\n' && !unicode.IsPrint(c) || c == unicode.ReplacementChar {
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
		"esc": "\x1b[2J\x1b]0;x\x07", "c1": "a\u009b31m\u0085", "bidi": "\u202etxt\u2066\u200f", "others": "\u2028\u00ad\ufeff\U000e0041\u061c", "cr": "a\rb\bc\x7f",
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
				{"stats", "-u", "redis://" + evil},
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

package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// asynqd runs it with a file, variables and flags until it ends, and returns what it says and whether it likes it.
func asynqd(t testing.TB, config string, variables []string, words ...string) (string, bool) {
	t.Helper()
	if config != "" {
		path := filepath.Join(t.TempDir(), "asynqd.yaml")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		words = append(words, "--config", path)
	}
	cmd := DaemonCommand(words...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/home/somebody"}, variables...)
	output, err := cmd.CombinedOutput()
	if exit, is := err.(*exec.ExitError); err != nil && (!is || exit.ExitCode() != 2) {
		t.Errorf("%v, %v: %v\n%s", variables, words, err, output)
	}
	return string(output), err == nil
}

// TestConfigMistakes: each class of wrong values has its message, with place, key, and what to write instead; in the file, in
// the environment and in flags.
func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	route := func(text string) string { return "routes:\n- type: t\n  " + text + "\n" }
	command := func(text string) string { return route("command: {argv: [a], " + text + "}") }
	http := func(text string) string { return route("http: {" + text + "}") }
	for _, test := range []struct{ config, variable, flag, want string }{
		// The file as a whole.
		{config: "queues: [\n", want: `:2: `},
		{config: "# caf\xe9\nconcurrency: 1\n", want: `:1: byte 6 of the line is 0xe9, which is not UTF-8`},
		{config: "routes:\n- {type: a, command: {argv: [a]}}\n  # \xfc\n- {type: b, comand: {argv: [b]}}\n", want: `:3: byte 5 of the line is 0xfc, which is not UTF-8`},
		{config: "concurrency: 1\n\x00\x00\x00", want: `:2: byte 1 of the line is 0x00, which is not a character of a text`},
		{config: "\xff\xfec\x00o\x00", want: `:1: byte 1 of the line is 0xff, which is not UTF-8`},
		{config: "concurrency: 1\n# \x1b[2J\n", want: `:2: byte 3 of the line is 0x1b, which is not a character of a text`},
		{config: "concurrency: 1\n# \xed\xa0\x80\n", want: `:2: byte 3 of the line is 0xed, which is not UTF-8`},
		{config: "concurrency: 1\n...\n@\n", want: `:3: `},
		{config: "- a\n", want: `:1: keys with values are wanted here`},
		{config: "concurrency: 1\nconcurrency: 2\n", want: `:2: duplicate key`},
		{config: "concurency: 1\n", want: `:1: there is no key "concurency"; did you mean "concurrency"?`},
		{config: "colour: red\n", want: `:1: there is no key "colour" here`},
		{config: "log: {levle: info}\n", want: `:1: log: there is no key "levle"; did you mean "level"?`},
		{config: "log: info\n", want: `log: keys with values are wanted here`},
		{config: "concurrency: {a: 1}\n", want: `:1: concurrency: is no plain value`},
		// Numbers.
		{config: "concurrency: many\n", want: `:1: concurrency: "many" is not a whole number from 0 on`},
		{config: "concurrency: -1\n", want: `concurrency: "-1" is not a whole number from 0 on`},
		{config: "concurrency: 1.5\n", want: `concurrency: "1.5" is not a whole number`},
		{config: "concurrency: 0\n", want: `concurrency: "0" is too little; it can be 1 to 1000000`},
		{config: "concurrency: 99999999\n", want: `concurrency: "99999999" is too much; it can be 1 to 1000000`},
		{config: "concurrency: 99999999999999999999999\n", want: `concurrency: "99999999999999999999999" is not a whole number`},
		{variable: "ASYNQD_CONCURRENCY=x", want: `$ASYNQD_CONCURRENCY: "x" is not a whole number from 0 on`},
		{variable: "WORKER_CONCURRENCY=0", want: `$WORKER_CONCURRENCY: "0" is too little`},
		{flag: "--concurrency=x", want: `--concurrency: "x" is not a whole number from 0 on`},
		// Durations and sizes.
		{config: "shutdown_timeout: 30\n", want: `shutdown_timeout: "30" is not a duration such as 90s, 1h30m or 2d`},
		{config: "shutdown_timeout: 30 s\n", want: `shutdown_timeout: "30 s" is not a duration`},
		{config: "shutdown_timeout: 0\n", want: `shutdown_timeout: "0" is too little; it can be 1ms to 1d`},
		{config: "shutdown_timeout: 2d\n", want: `shutdown_timeout: "2d" is too much`},
		{variable: "WORKER_SHUTDOWN_TIMEOUT=soon", want: `$WORKER_SHUTDOWN_TIMEOUT: "soon" is not a duration`},
		{config: command("result_limit: 64 kB"), want: `:3: routes[0].command: result_limit: "64 kB" is not a size such as 64kB or 1MiB`},
		{config: command("error_limit: 1MB"), want: `error_limit: "1MB" is too much; it can be 0 to 8kB`},
		// Switches and choices.
		{config: "strict_priority: maybe\n", want: `strict_priority: "maybe" is not true or false`},
		{config: "log: {level: loud}\n", want: `log: level: "loud" is none of debug, info, warn, error`},
		{flag: "--log-format=xml", want: `--log-format: "xml" is none of logfmt, json`},
		{variable: "LOG_LEVEL=loud", want: `$LOG_LEVEL: "loud" is none of`},
		// Pairs and lists.
		{config: "queues: {}\n", want: `:1: queues: there is no queue`},
		{config: "queues: {a: 0}\n", want: `:1: queues: a: "0" is no priority; it is a whole number from 1 on`},
		{config: "queues: {a: high}\n", want: `queues: a: "high" is no priority`},
		{config: "queues: {' ': 1}\n", want: `queues: " " is no name of a queue`},
		{config: "queues: {a: [1]}\n", want: `queues: a: is no plain value`},
		{variable: "ASYNQD_QUEUES=a", want: `$ASYNQD_QUEUES: "a" is not NAME=VALUE`},
		{flag: "--queues=a=1,a=2", want: `--queues: queues: queue "a" is given twice`},
		{config: command("success_statuses: [{}]"), want: `success_statuses[0]: is no plain value`},
		// Redis.
		{config: "redis: http://a\n", want: `:1: redis: `},
		{variable: "REDIS_URL=redis://:secret@h:port", want: `$REDIS_URL: redis: `},
		{variable: "REDIS_PORT=70000", want: `$REDIS_PORT: "70000" is too much; it can be 0 to 65535`},
		{variable: "REDIS_DB=first", want: `$REDIS_DB: "first" is not a whole number`},
		{config: "redis: private\nredis_host: h\n", want: `redis: a private Redis has no host, user or password`},
		{config: "redis: unix:///s\n", variable: "REDIS_HOST=h", want: `$REDIS_HOST: redis_host: has no meaning for a Redis at a socket`},
		{config: "redis: redis-sentinel://s?master=m\nredis_host: h\n", want: `:2: redis_host: has no meaning where ` + "`redis`" + ` names sentinels`},
		{config: "redis_sentinels: s\n", want: `:1: redis_sentinels: Redis URI: the master's name is missing`},
		{config: "redis_sentinel_master: m\n", want: `:1: redis_sentinel_master: Redis URI: the sentinels are missing`},
		{config: "redis_cluster: a\nredis_sentinel_password: m\n", want: `redis_cluster: ` + "`redis_sentinel...`" + ` tells where Redis is, too`},
		{config: "redis_sentinels: s\nredis: redis://h\n", want: `:1: redis_sentinels: ` + "`redis`" + ` tells where Redis is, too; give one of them`},
		{config: "redis_cluster: a,b\nredis_host: h\n", want: `:1: redis_cluster: ` + "`redis_host`" + ` tells where Redis is, too`},
		{config: "redis_cluster: a:x\n", want: `redis_cluster: Redis URI: the port is not a number`},
		{config: "redis_cluster: a\nredis_db: 1\n", want: `:2: redis_db: Redis URI: a cluster has database 0 only`},
		{config: "redis: redis-sentinel://s\n", want: `redis: Redis URI: the master's name is missing`},
		{config: "redis_password: a\nredis_password_file: /b\n", want: `:2: redis_password and redis_password_file are both given`},
		{variable: "REDIS_PASSWORD_FILE=/no/file", want: `$REDIS_PASSWORD_FILE: /no/file: No such file or directory`},
		{flag: "--redis-password-file=/dev/null", want: `--redis-password-file: /dev/null: is empty`},
		{config: "redis_password_file: /dev/zero\n", want: `redis_password: /dev/zero: is too large for a value`},
		{flag: "--redis-host-file=/dev/null", want: `there is no flag --redis-host-file; did you mean --redis-host?`},
		// Routes.
		{config: "routes: {}\n", want: `routes: a list is wanted here`},
		{config: "routes: [a]\n", want: `:1: routes[0]: keys with values are wanted here`},
		{config: "routes: [{command: {argv: [a]}}]\n", want: `:1: routes[0]: type is missing`},
		{config: "routes: [{type: ' ', command: {argv: [a]}}]\n", want: `routes[0]: type is blank`},
		{config: "routes: [{type: '*', command: {argv: [a]}}]\n", want: `type: "*": there are no wildcards; a type matches all that begin with it`},
		{config: "postgres: {uri: 'hust=x'}\n", want: `postgres.uri: invalid connection option "hust"`},
		{config: "postgres: {uri: 'host=x', spool_max_size: 1MiB}\n", want: `spool_max_size: "1MiB" is too little`},
		{config: "postgres: {uri: 'host=x', retention: soon}\n", want: `retention: "soon" is not a duration`},
		{config: "routes: [{type: t}]\n", want: `routes[0]: there is no handler; give one of http, command, worker, plugin`},
		{config: "routes: [{type: t, comand: {argv: [a]}}]\n", want: `there is no key "comand"; did you mean "command"?`},
		{config: "routes:\n- {type: t, command: {argv: [a]}}\n- {type: t, command: {argv: [b]}}\n", want: `:3: routes[1]: another route has the type "t"`},
		{config: route("command: {}"), want: `routes[0].command: argv is missing`},
		{config: command("input: stdin"), want: `input: "stdin" is none of payload, file, none`},
		{config: command("success_statuses: [256]"), want: `success_statuses: "256" is no exit status; they are 0 to 255`},
		{config: route("command: {shell: 'echo {{payload}}'}"), want: `shell: has a placeholder, whose value could be a command`},
		{config: route("command: {argv: [sh, -c, 'echo {{payload}}']}"), want: `argv[2]: is code with a placeholder, whose value could be a command`},
		{config: route("command: {argv: [env, A=b, bash, -eo, pipefail, -c, 'echo {{task.id}}']}"), want: `argv[6]: is code with a placeholder`},
		{config: route("command: {argv: [python3.11, -c, 'print(\"{{payload.a}}\")']}"), want: `argv[2]: is code with a placeholder`},
		{config: route("command: {argv: ['{{payload']}"), want: `argv[0]: a placeholder begins with {{ and does not end with }}`},
		{config: route("command: {argv: ['{{user}}']}"), want: `argv[0]: {{user}} stands for nothing; there are payload,`},
		{config: route("command: {argv: ['{{payload..a}}']}"), want: `{{payload..a}} stands for nothing`},
		{config: command("process: {user: nobody-here}"), want: `routes[0].command.process: user: there is no user "nobody-here"`},
		{config: command("process: {working_directory: /no/where}"), want: `working_directory: there is no /no/where`},
		{config: command("process: {limits: {speed: 1}}"), want: `limits: there is no limit "speed"; there are memory, cpu,`},
		{config: command("process: {limits: {memory: much}}"), want: `limits: memory: "much" is not a size`},
		{config: command("process: {env: {'a=b': c}}"), want: `env: "a=b" is no name of a variable`},
		{config: command("timeout: 1s") + "  retry: {policy: never}\n", want: `routes[0].retry: policy: "never" is none of asynq, constant, exponential`},
		{config: command("timeout: 1s") + "  retry: {policy: constant}\n", want: `routes[0].retry: initial_delay is missing`},
		{config: command("timeout: 1s") + "  retry: {initial_delay: 2s, max_delay: 1s}\n", want: `retry: max_delay is less than initial_delay`},
		{config: command("timeout: 1s") + "  retry: {initial_delay: 2s, jitter: 101}\n", want: `jitter: "101" is too much; it can be 0 to 100`},
		{config: command("timeout: 1s") + "  retry: {policy: asynq, initial_delay: 2s}\n", want: `initial_delay is given, but the policy asynq does not use it`},
		{config: command("timeout: 1s") + "  limit: {max: 1}\n", want: `routes[0].limit: scope is missing`},
		{config: command("timeout: 1s") + "  limit: {scope: a, max: 0}\n", want: `limit: max: "0" is too little`},
		{config: route("command: {argv: [a]}") + "\n\n  rerty: {}\n", want: `:6: routes[0]: there is no key "rerty"; did you mean "retry"?`},
		{variable: "ASYNQD_ROUTES=[{type: t}]", want: `$ASYNQD_ROUTES:1: routes[0]: there is no handler`},
		// HTTP.
		{config: route("http: {}"), want: `routes[0].http: url is missing`},
		{config: route("http: http://a/"), want: `routes[0].http: keys with values are wanted here`},
		{config: http("url: ftp://a/"), want: `routes[0].http: url: "ftp://a/" does not begin with http:// or https://`},
		{config: http("url: 'http://a b/'"), want: `url: "http://a b/" is no URL`},
		{config: http("url: 'http://a/{{b}}'"), want: `url: {{b}} stands for nothing`},
		{config: http("url: http://a/, method: 'GET IT'"), want: `method: "GET IT" is no method`},
		{config: http("url: http://a/, headers: {'a b': c}"), want: `headers: "a b" is no name of a header`},
		{config: http(`url: http://a/, headers: {a: "b\nc"}`), want: `headers: a: has a control character`},
		{config: http("url: http://a/, headers: {a: '{{b}}'}"), want: `headers: {{b}} stands for nothing`},
		{config: http("url: http://a/, body: '{{b}}'"), want: `body: {{b}} stands for nothing`},
		{config: http("url: http://a/, timeout: 0"), want: `timeout: "0" is too little`},
		{config: http("url: http://a/, success_statuses: [2xy]"), want: `success_statuses: "2xy" is no status such as 404 or 4xx`},
		{config: http("url: http://a/, retryable_statuses: [99]"), want: `retryable_statuses: "99" is no status`},
		{config: http("url: http://a/, success_statuses: [404], retryable_statuses: [404]"), want: `404 is in both success_statuses and retryable_statuses`},
		{config: http("url: http://a/, success_statuses: [2xx, 4xx]"), want: `4xx is in both success_statuses and permanent_statuses`},
		{config: http("url: http://a/, permanent_errors: [tsl]"), want: `permanent_errors: "tsl" is none of dns, connect, tls, timeout, protocol`},
		{config: http("url: http://a/, max_redirects: 51"), want: `max_redirects: "51" is too much`},
		{config: http("url: http://a/, http_version: 3"), want: `http_version: "3" is none of auto, 1.1, 2`},
		{config: http("url: http://a/, tls: {cert_file: a}"), want: `tls: cert_file and key_file belong together`},
		{config: http("url: http://a/, signature: {key_file: /no/key}"), want: `signature: key: /no/key: No such file`},
		{config: http("url: http://a/, signature: {key: a, header: 'b c'}"), want: `signature: header: "b c" is no name of a header`},
		{config: http("url: http://a/, targets: {allow: ['a/b']}"), want: `targets: allow: "a/b" is neither a host, nor *.DOMAIN, nor a network`},
		{config: http("url: http://a/, targets: {deny: [10.0.0.0/33]}"), want: `deny: "10.0.0.0/33" is neither`},
		{config: http("url: http://a/, targets: {private_addresses: maybe}"), want: `private_addresses: "maybe" is none of auto, allow, deny`},
		// Workers.
		{config: "workers: []\n", want: `workers: keys with values are wanted here`},
		{config: "workers: {' ': {argv: [a]}}\n", want: `the name is blank`},
		{config: "workers: {a: {}}\n", want: `workers.a: argv is missing`},
		{config: "workers: {a: {argv: []}}\n", want: `workers.a: argv is empty`},
		{config: "workers: {a: {argv: [b], size: 0}}\n", want: `workers.a: size: "0" is too little; it can be 1 to 1000`},
		{config: "workers: {a: {argv: [b], memory_limit: lots}}\n", want: `memory_limit: "lots" is not a size`},
		{config: "workers: {a: {argv: [b], process: {limits: {cpu: x}}}}\n", want: `workers.a.process: limits: cpu: "x" is not a duration`},
		{config: route("worker: pyton") + "workers: {python: {argv: [a]}}\n", want: `:3: routes[0].worker: pool: there is no worker pool "pyton"; did you mean "python"?`},
		{config: route("worker: {pool: a}"), want: `there is no worker pool "a"`},
		{config: route("worker: {}"), want: `routes[0].worker: pool is missing`},
		{config: route("worker: a") + "  command: {argv: [b]}\nworkers: {a: {argv: [a]}}\n", want: `worker and command are both given; a route has one handler`},
		// End-points and scaling.
		{config: "endpoints: {listen: 9273}\n", want: `endpoints.listen: "9273" is not HOST:PORT`},
		{flag: "--endpoints-listen=::1:80", want: `--endpoints-listen: endpoints.listen: "::1:80" is not HOST:PORT`},
		{config: "endpoints: {cert_file: a}\n", want: `endpoints.cert_file: cert_file and key_file belong together`},
		{config: "endpoints: {token: ''}\n", want: `endpoints.token: is empty`},
		{config: "endpoints: {max_body_size: 1}\n", want: `max_body_size: "1" is too little; it can be 1KiB to 1GiB`},
		{config: "scale: {min: 5, max: 3}\n", want: `scale.min: is more than scale.max`},
		{config: "scale: {window: 2s, interval: 5s}\n", want: `scale.window: is less than scale.interval`},
		{config: "scale: {window: 1h, interval: 1s}\n", want: `scale.window: is, with scale.cooldown, more than 510 times scale.interval`},
		{config: "scale: {cooldown: 2h}\n", want: `scale.window: is, with scale.cooldown, more than 510 times scale.interval`},
		{config: "scale: {target_utilization: 101}\n", want: `target_utilization: "101" is too much; it can be 1 to 100`},
		{config: "routes: [{type: a, command: {argv: [b]}, defaults: {tmeout: 3s}}]\n", want: `defaults: there is no key "tmeout"; did you mean "timeout"?`},
		{config: "routes: [{type: a, command: {argv: [b]}, defaults: {id: x}}]\n", want: `defaults: there is no key "id"`},
		{config: "routes: [{type: a, command: {argv: [b]}, defaults: {unique: 10ms}}]\n", want: `defaults: Unique TTL cannot be less than 1s`},
		{config: "routes: [{type: a, command: {argv: [b]}, defaults: {queue: ' '}}]\n", want: `defaults: queue name must contain`},
		{config: "routes: [{type: a, command: {argv: [b]}, defaults: {max_retry: -1}}]\n", want: `max_retry: "-1" is not a whole number`},
		{config: "routes: [{type: a, command: {argv: [b]}, defaults: {retention: 999999d}}]\n", want: `retention is 86399913600000 ms`},
		// Others.
		{config: "schedule: {zone: Mars/Olympus}\n", want: `:1: schedule.zone: unknown time zone "Mars/Olympus"`},
		{flag: "--concurency=1", want: `there is no flag --concurency; did you mean --concurrency?`},
		{flag: "concurrency", want: `there is no flag concurrency`},
		{flag: "--concurrency", want: `--concurrency needs a value`},
	} {
		var words, variables []string
		if test.variable != "" {
			variables = []string{test.variable}
		}
		if test.flag != "" {
			words = []string{test.flag}
		}
		// First, so that a flag without a value cannot take one of these.
		output, ok := asynqd(t, test.config, variables, append([]string{"--check-config"}, words...)...)
		if ok || !strings.Contains(output, test.want) {
			t.Errorf("%q %q %q: got\n%swant %s", test.config, test.variable, test.flag, output, test.want)
		}
		if strings.Contains(output, ":secret") {
			t.Errorf("a password is shown: %s", output)
		}
	}
}

// TestConfigAllMistakes: all are told at once, and nothing is started.
func TestConfigAllMistakes(t *testing.T) {
	t.Parallel()
	output, ok := asynqd(t, "concurrency: x\nlog: {level: y, format: z}\nroutes:\n- {type: a}\n- {type: b, command: {argv: [c], inptu: d}}\n",
		[]string{"ASYNQD_QUEUES=e"}, "--log-output=f")
	if lines := strings.Count(output, "\n"); ok || lines != 7 {
		t.Errorf("%d lines:\n%s", lines, output)
	}
}

// TestConfigSources: flags go before the environment, that before the file, that before the defaults; --print-config tells
// which it was, hides secrets, and can be read again.
func TestConfigSources(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("geheim/?\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := "redis: redis://u:pass@a:1/2\nconcurrency: 11\nqueues: {a: 1, b: 2}\nlog:\n  level: warn\n" +
		"routes:\n- {type: 'a:', command: {argv: [x, '{{payload}}', 'q\"uote']}, limit: {scope: s, max: 3}}\n"
	output, ok := asynqd(t, file, []string{"ASYNQD_LOG_LEVEL=error", "LOG_LEVEL=debug", "REDIS_PORT=7", "WORKER_QUEUES=c=4, d=5",
		"REDIS_PASSWORD_FILE=" + secret, "ASYNQD_SERVICE_HOST=10.0.0.1", "ASYNQD_PORT=tcp://10.0.0.1:80"},
		"--print-config", "--concurrency", "12", "--strict-priority", "--log-format=json")
	if !ok {
		t.Fatal(output)
	}
	for _, want := range []string{
		`redis: ".*://u:\*\*\*@a:1/2"  # .*asynqd.yaml:1`,
		`redis_port: 7  # \$REDIS_PORT`,
		`redis_password: "\*\*\*"  # \$REDIS_PASSWORD_FILE`,
		`queues: {c: 4, d: 5}  # \$WORKER_QUEUES`,
		`strict_priority: true  # --strict-priority`,
		`concurrency: 12  # --concurrency`,
		`shutdown_timeout: 30s  # default`,
		`  level: error  # \$ASYNQD_LOG_LEVEL`,
		`  format: json  # --log-format`,
		`routes:  # .*asynqd.yaml:6`,
		`      argv: \[x, "{{payload}}", "q\\"uote"\]`,
		`      scope: s`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(output) {
			t.Errorf("there is no %q in\n%s", want, output)
		}
	}
	if strings.Contains(output, "geheim") || strings.Contains(output, "pass@") || strings.Contains(output, "did you mean") {
		t.Errorf("shown too much:\n%s", output)
	}
	again, ok := asynqd(t, output, nil, "--print-config")
	origins := regexp.MustCompile(`  # .*`)
	if strip := func(s string) string { return origins.ReplaceAllString(s, "") }; !ok || strip(again) != strip(output) {
		t.Errorf("what is printed is read as\n%s", again)
	}
	warned, ok := asynqd(t, "", []string{"ASYNQD_CONCURENCY=1"}, "--check-config")
	if !ok || !strings.Contains(warned, "$ASYNQD_CONCURENCY: there is no such variable; did you mean $ASYNQD_CONCURRENCY?") {
		t.Errorf("%v: %s", ok, warned)
	}
	fromText, ok := asynqd(t, "", nil, "--print-config", "--routes", `[{type: 'x:', command: {argv: [cat]}}]`)
	if !ok || !strings.Contains(fromText, `- type: "x:"`) || !strings.Contains(fromText, "routes:  # --routes") {
		t.Errorf("%v: %s", ok, fromText)
	}
}

// TestSampleConfig: with its comment signs taken off, it is valid; without, it says nothing.
func TestSampleConfig(t *testing.T) {
	t.Parallel()
	sample, ok := asynqd(t, "", nil, "--sample-config")
	if !ok || !strings.Contains(sample, "#concurrency: 50\n") {
		t.Fatal(sample)
	}
	for _, more := range []string{"", "concurrency: 3\n"} {
		if output, ok := asynqd(t, sample+more, nil, "--check-config"); !ok {
			t.Errorf("as it is, with %q: %s", more, output)
		}
	}
	sample = strings.ReplaceAll(sample, "/usr/lib/asynqd/eval.so", buildPlugin(t))
	schedule := filepath.Join(t.TempDir(), "schedule.yaml")
	if err := os.WriteFile(schedule, []byte("entries: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sample = strings.ReplaceAll(sample, "/etc/asynqd/schedule.yaml", schedule)
	output, ok := asynqd(t, regexp.MustCompile(`(?m)^#`).ReplaceAllString(sample, ""), []string{"PATH=" + fakeTools(t)}, "--check-config")
	if !ok {
		t.Errorf("uncommented: %s", output)
	}
}

// TestSecretsAreStars: --print-config shows no secret, wherever it can stand, and no complaint quotes one.
func TestSecretsAreStars(t *testing.T) {
	t.Parallel()
	output, ok := asynqd(t, `
redis: redis://u:s3cret1@h/0
postgres: {uri: "postgres://u:s3cret2@h/db"}
routes:
- type: a
  http: {url: "https://u:s3cret3@h/", headers: {Authorization: "Bearer s3cret4", X-Key: s3cret5}, proxy: "http://u:s3cret6@p:1", signature: {key: s3cret7}}
- type: b
  command: {argv: [a], process: {env: {API_KEY: s3cret8}}}
- type: c
  worker: w
workers:
  w: {argv: [a], process: {env: {API_KEY: s3cret9}}}
`, nil, "--print-config")
	if !ok || strings.Contains(output, "s3cret") || strings.Count(output, "***") < 9 || !strings.Contains(output, "Authorization") {
		t.Errorf("%v: %s", ok, output)
	}
	for _, uri := range []string{"postgrseql://u:s3cret@h/db", "postgres://u:%zzs3cret@h/db", "host=a pass word=s3cret", "postgres://u:s3cret@[h/db", "password='s3cret"} {
		if output, ok := asynqd(t, "postgres: {uri: \""+uri+"\"}\n", nil, "--check-config"); ok || strings.Contains(output, "s3cret") {
			t.Errorf("%s: %s", uri, output)
		}
	}
}

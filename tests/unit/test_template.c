#include "unit.h"

#include "handler/template.h"
#include "server/job_port.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static asynq_job *job; /* of the test that runs */

static void make_job(const char *payload, size_t length)
{
    static loop_waker waker;
    buf encoded;
    asynq_error error = {0};
    task_header headers[] = {{bytes_of("who"), bytes_of("Jürgen & co")}};
    task_message message = {.type = bytes_of("mail:send"),
                            .payload = {payload, length},
                            .id = bytes_of("i/d 1"),
                            .queue = bytes_of("low"),
                            .retry = 25,
                            .retried = 3,
                            .timeout = 60,
                            .headers = headers,
                            .header_count = 1};
    buf_init(&encoded, 0);
    ck_assert_int_eq(task_message_encode(&message, &encoded, &error), 0);
    if (job)
        job_unref(job);
    job_port *port = job_port_new(&waker);
    job = job_new(port, (bytes){encoded.data, encoded.length}, &error);
    ck_assert_msg(job != NULL, "%s", error.text);
    job->deadline_ns = INT64_C(1700000000) * 1000000000;
    job_port_unref(port);
    buf_clear(&encoded);
}

static void check(template_place place, const char *text, const char *want)
{
    template *t;
    asynq_error error = {0};
    template_values values = {.job = job};
    buf out;
    buf_init(&out, 0);
    ck_assert_msg(template_new(&t, text, place, &error) == 0, "%s: %s", text, error.text);
    int status = template_fill(t, &values, &out, &error);
    const char *got = status ? error.text : out.data ? out.data : "";
    ck_assert_msg(strcmp(got, want) == 0, "%s: got %s, want %s", text, got, want);
    template_values_clear(&values);
    template_free(t);
    buf_clear(&out);
}

static const char payload[] =
    "{\"a\": \"x\\\"y\\n/é\", \"n\": 1.50, \"t\": true, \"z\": null, \"l\": [{\"k\": \"v\"}, 2],"
    " \"q\": \"\\\", \\\"admin\\\": true, \\\"x\\\": \\\"\"}";

START_TEST(filling)
{
    make_job(payload, sizeof payload - 1);
    check(TEMPLATE_TEXT, "plain", "plain");
    check(TEMPLATE_TEXT, "", "");
    check(TEMPLATE_TEXT, "{ {{ task.id }} }", "{ i/d 1 }");
    check(TEMPLATE_TEXT, "{{payload.a}}", "x\"y\n/é");
    check(TEMPLATE_TEXT, "{{payload.n}} {{payload.t}} {{payload.l}}", "1.50 true [{\"k\": \"v\"}, 2]");
    check(TEMPLATE_TEXT, "{{payload.l.0.k}}{{payload.l.1}}", "v2");
    check(TEMPLATE_TEXT, "{{task.type}} {{task.queue}} {{task.retried}} {{task.max_retry}} {{task.deadline}}",
          "mail:send low 3 25 2023-11-14T22:13:20Z");
    check(TEMPLATE_TEXT, "{{header.who}}", "Jürgen & co");
    check(TEMPLATE_TEXT, "[{{payload.none?}}{{payload.z?}}{{header.none?}}]", "[]");
    check(TEMPLATE_TEXT, "{{payload.none}}", "{{payload.none}} is not in the payload");
    check(TEMPLATE_TEXT, "{{payload.z}}", "{{payload.z}} is not in the payload");
    check(TEMPLATE_TEXT, "{{payload.l.2}}", "{{payload.l.2}} is not in the payload");
    check(TEMPLATE_TEXT, "{{payload.a.b}}", "{{payload.a.b}} is not in the payload");
    check(TEMPLATE_TEXT, "{{header.none}}", "{{header.none}} is not among the task's headers");
    job_unref(job);
}
END_TEST

START_TEST(escaping)
{
    make_job(payload, sizeof payload - 1);
    check(TEMPLATE_URL, "http://h/{{payload.a}}?i={{task.id}}", "http://h/x%22y%0A%2F%C3%A9?i=i%2Fd%201");
    check(TEMPLATE_URL, "{{header.who}}/{{header.who}}", "Jürgen & co/J%C3%BCrgen%20%26%20co");
    check(TEMPLATE_FORM, "{{header.who}}", "J%C3%BCrgen%20%26%20co");
    check(TEMPLATE_HEADER, "a {{header.who}}", "a Jürgen & co");
    check(TEMPLATE_HEADER, "{{payload.a}}", "{{payload.a}} has a control character, which cannot stand in a header");
    check(TEMPLATE_JSON, "{\"a\": \"{{payload.a}}\", \"b\": {{payload.a}}}",
          "{\"a\": \"x\\\"y\\n/é\", \"b\": \"x\\\"y\\n/é\"}");
    check(TEMPLATE_JSON, "{\"name\": \"{{payload.q}}\"}", "{\"name\": \"\\\", \\\"admin\\\": true, \\\"x\\\": \\\"\"}");
    check(TEMPLATE_JSON, "[{{payload.n}}, {{payload.z}}, {{payload.none?}}, {{payload.l}}, {{task.retried}}]",
          "[1.50, null, null, [{\"k\": \"v\"}, 2], 3]");
    check(TEMPLATE_JSON, "\"n is {{payload.n}}, l is {{payload.l}}\"",
          "\"n is 1.50, l is [{\\\"k\\\": \\\"v\\\"}, 2]\"");
    check(TEMPLATE_JSON, "\"a \\\" {{payload.a}}\"", "\"a \\\" x\\\"y\\n/é\"");
    job_unref(job);
}
END_TEST

/* CPU time of filling `count` placeholders. */
static clock_t time_of(size_t count)
{
    template *t;
    template_values values = {.job = job};
    asynq_error error;
    buf text, out;
    buf_init(&text, 0);
    buf_init(&out, 0);
    for (size_t i = 0; i < count; i++)
        buf_append_text(&text, "{{payload.first}}{{payload.last}}");
    ck_assert_int_eq(template_new(&t, text.data, TEMPLATE_TEXT, &error), 0);
    clock_t before = clock();
    ck_assert_int_eq(template_fill(t, &values, &out, &error), 0);
    clock_t used = clock() - before;
    ck_assert_uint_eq(out.length, 2 * count);
    template_values_clear(&values);
    template_free(t);
    buf_clear(&text);
    buf_clear(&out);
    return used;
}

/* However many placeholders there are, a large payload is read no more often. */
START_TEST(one_look)
{
    enum { NUMBERS = 1000000 };
    buf text;
    buf_init(&text, 0);
    buf_append_text(&text, "{\"first\": 1, \"numbers\": [0");
    for (size_t i = 0; i < NUMBERS; i++)
        buf_append_text(&text, ",1");
    buf_append_text(&text, "], \"last\": 2}");
    make_job(text.data, text.length);
    clock_t one = time_of(1), many = time_of(60);
    ck_assert_msg(many < 8 * one, "one: %ld, many: %ld", (long)one, (long)many);
    buf_clear(&text);
    job_unref(job);
}
END_TEST

START_TEST(payloads_that_are_not_json)
{
    make_job("not json", 8);
    check(TEMPLATE_TEXT, "{{payload}}", "not json");
    check(TEMPLATE_JSON, "\"{{payload}}\"", "\"not json\"");
    check(TEMPLATE_JSON, "{{payload}}", "{{payload}} is not there, as the payload is not JSON");
    check(TEMPLATE_TEXT, "{{payload.a}}", "{{payload.a}} is not there, as the payload is not JSON");
    check(TEMPLATE_TEXT, "{{payload.a?}}", "");
    make_job("\xff\xfe", 2);
    check(TEMPLATE_JSON, "\"{{payload}}\"", "{{payload}} is not valid UTF-8, which cannot stand in JSON");
    make_job("a\0b", 3);
    check(TEMPLATE_FORM, "{{payload}}", "a%00b");
    make_job("..", 2);
    check(TEMPLATE_URL, "http://h/{{payload}}/x",
          "{{payload}} is \".\" or \"..\", which would be another place in the URL");
    job_unref(job);
}
END_TEST

START_TEST(mistakes)
{
    static const char *const texts[] = {
        "{{",           "{{}}",     "{{ }}",      "{{x}}",        "{{payload.}}", "{{payload..a}}", "{{payload.a.}}",
        "{{payloads}}", "{{task}}", "{{task.x}}", "{{task.idx}}", "{{header.}}",  "{{?}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        template *t;
        asynq_error error;
        ck_assert_msg(template_new(&t, texts[i], TEMPLATE_TEXT, &error) == ASYNQ_E_INVALID, "%s", texts[i]);
        ck_assert_ptr_null(t);
    }
}
END_TEST

Suite *suite_template(void)
{
    const TTest *const list[] = {filling, escaping, one_look, payloads_that_are_not_json, mistakes, NULL};
    return suite_of("templates", list);
}

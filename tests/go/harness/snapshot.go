package harness

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	pb "github.com/hibiken/asynq/internal/proto"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// Snapshot describes every key of Asynq's in a canonical text each: type, values, expiry. Scores of leases are cut to
// whole seconds; keys of our own are left out. A `msg` must be in canonical form, except that Go writes headers in
// random order.
func (r *Redis) Snapshot(ignore ...string) map[string]string {
	r.t.Helper()
	found := map[string]string{}
	for _, key := range r.Keys() {
		found[key] = r.describe(key, ignore)
	}
	return found
}

// hasFractions tells whether our scores in a set have a fraction of a second beyond Go's whole seconds: tags of leases,
// and due times to the millisecond.
func hasFractions(key string) bool {
	for _, end := range []string{"}:lease", "}:scheduled", "}:retry", "}:completed"} {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return false
}

func (r *Redis) describe(key string, ignore []string) string {
	r.t.Helper()
	ctx := context.Background()
	var text string
	switch kind := r.Client.Type(ctx, key).Val(); kind {
	case "string":
		text = "string " + r.Client.Get(ctx, key).Val()
	case "list":
		text = "list " + strings.Join(r.Client.LRange(ctx, key, 0, -1).Val(), " ")
	case "set":
		members := r.Client.SMembers(ctx, key).Val()
		sort.Strings(members)
		text = "set " + strings.Join(members, " ")
	case "zset":
		text = "zset"
		for _, z := range r.Client.ZRangeWithScores(ctx, key, 0, -1).Val() {
			score := z.Score
			if hasFractions(key) {
				score = math.Floor(score)
			}
			text += fmt.Sprintf(" %v=%.6f", z.Member, score)
		}
	case "hash":
		text = "hash" + describeHash(r.Client.HGetAll(ctx, key).Val(), ignore)
	default:
		text = kind
	}
	if strings.Contains(key, "}:processed:") || strings.Contains(key, "}:failed:") {
		text += fmt.Sprintf(" (expires at %d)", r.ExpiresAt(key))
	} else if ttl := r.Client.TTL(ctx, key).Val(); ttl > 0 {
		text += fmt.Sprintf(" (ttl about %d0 s)", int(ttl.Seconds()+5)/10)
	}
	return text
}

// ExpiresAt is the Unix time at which a key expires, -1 if never. (EXPIRETIME exists only from Redis 7.0.)
func (r *Redis) ExpiresAt(key string) int64 {
	r.t.Helper()
	left := r.Int("PTTL", key)
	if left < 0 {
		return left
	}
	return (time.Now().UnixMilli() + left + 500) / 1000
}

func describeHash(fields map[string]string, ignore []string) string {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	var text strings.Builder
	for _, name := range names {
		value := fields[name]
		for _, ignored := range ignore {
			if name == ignored {
				value = "(any)"
			}
		}
		if name == "msg" {
			value = DescribeMessage([]byte(value))
		}
		fmt.Fprintf(&text, "\n  %s: %s", name, value)
	}
	return text.String()
}

// DescribeMessage decodes a TaskMessage and says when its bytes are not canonical.
func DescribeMessage(raw []byte) string {
	var message pb.TaskMessage
	if err := proto.Unmarshal(raw, &message); err != nil {
		return "UNREADABLE " + hex.EncodeToString(raw)
	}
	canonical, _ := proto.MarshalOptions{Deterministic: true}.Marshal(&message)
	text := prototext.MarshalOptions{}.Format(&message)
	text = strings.Join(strings.Fields(text), " ")
	if string(canonical) != string(raw) && len(message.Headers) < 2 {
		text += " NOT CANONICAL " + hex.EncodeToString(raw)
	}
	return text + " unknown=" + hex.EncodeToString(message.ProtoReflect().GetUnknown())
}

// Message decodes the message of a task.
func (r *Redis) Message(queue, id string) *pb.TaskMessage {
	r.t.Helper()
	raw := r.Text("HGET", TaskKey(queue, id), "msg")
	var message pb.TaskMessage
	if err := proto.Unmarshal([]byte(raw), &message); err != nil {
		r.t.Fatalf("task %s: %v", id, err)
	}
	return &message
}

// TaskKey is the key of a task's hash.
func TaskKey(queue, id string) string { return QueueKey(queue, "t:"+id) }

// QueueKey is the name of a key of a queue.
func QueueKey(queue, suffix string) string { return "asynq:{" + queue + "}:" + suffix }

package interop

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand"
	"testing"

	pb "github.com/hibiken/asynq/internal/proto"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fill sets random fields of a message: absent, zero, small, large, negative, texts with any character.
func fill(random *rand.Rand, message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if random.Intn(3) == 0 {
			continue
		}
		switch {
		case field.IsMap():
			for range random.Intn(4) {
				value := field.MapValue()
				message.Mutable(field).Map().Set(protoreflect.MapKey(scalar(random, field.MapKey())), scalar(random, value))
			}
		case field.IsList():
			for range random.Intn(4) {
				message.Mutable(field).List().Append(scalar(random, field))
			}
		case field.Kind() == protoreflect.MessageKind:
			fill(random, message.Mutable(field).Message())
		default:
			message.Set(field, scalar(random, field))
		}
	}
}

func scalar(random *rand.Rand, field protoreflect.FieldDescriptor) protoreflect.Value {
	texts := []string{"", "a", "日本語", "nul\x00inside", "long " + fmt.Sprint(make([]int, 100)), "\U0001F600"}
	numbers := []int64{0, 1, -1, 127, 128, 1 << 31, -1 << 31, 1<<63 - 1, -1 << 63, 1700000000}
	number := numbers[random.Intn(len(numbers))]
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(texts[random.Intn(len(texts))])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(texts[random.Intn(len(texts))] + "\xff\x00"))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(number))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(number)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(random.Intn(2) == 0)
	}
	panic(field.Kind())
}

// timesSet gives a message the timestamps that Go's encoders always write.
func timesSet(message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); field.Kind() == protoreflect.MessageKind && !field.IsMap() {
			message.Mutable(field)
		}
	}
}

var records = map[string]func() proto.Message{
	"task":   func() proto.Message { return &pb.TaskMessage{} },
	"server": func() proto.Message { return &pb.ServerInfo{} },
	"worker": func() proto.Message { return &pb.WorkerInfo{} },
	"entry":  func() proto.Message { return &pb.SchedulerEntry{} },
	"event":  func() proto.Message { return &pb.SchedulerEnqueueEvent{} },
}

// TestWireVectors has Go encode random records and ours decode and encode them again: the bytes must be the same.
func TestWireVectors(t *testing.T) {
	t.Parallel()
	peer := StartPeer(t, "redis://127.0.0.1:1")
	random := rand.New(rand.NewSource(2))
	for kind, create := range records {
		for range 300 {
			message := create()
			fill(random, message.ProtoReflect())
			timesSet(message.ProtoReflect())
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			answer := peer.Do("wire", M{"kind": kind, "hex": hex.EncodeToString(raw)})
			if kind == "server" { // ours keeps the order of queues, so equal bytes show that nothing was lost
				equal(t, "status", Status(answer), 0)
			}
			if answer["hex"] != hex.EncodeToString(raw) {
				t.Fatalf("%s %v\n  Go %x\n  C  %s (status %d: %v)", kind, message, raw, answer["hex"], Status(answer), answer["error"])
			}
		}
	}
}

// golden are the records of the specification's appendix C.
var golden = [][3]string{
	{"GV-1", "task", "0a0a656d61696c3a73656e6412077b2275223a317d1a2430303030303030302d303030302d343030302d3830" +
		"30302d303030303030303030303031220764656661756c74281940880e"},
	{"GV-2", "task", "0a01741a03696431220171280330023a04626f6f6d403c4880e2cfaa065881e2cfaa0660901c6882e2cfaa06" +
		"7201677a060a016b120176"},
	{"GV-3", "task", "0a01741a01692201717a050a016b1200"},
	{"GV-5", "server", "0a016810071a03736964200a2a0b0a0764656661756c7410013a0661637469766542090880e2cfaa0610f403" +
		"4802"},
	{"GV-6", "worker", "0a016810071a0373696422036964312a01743201703a017142060880e2cfaa064a060888f0cfaa06"},
	{"GV-7", "entry", "0a02653112094065766572792035731a01742a0a517565756528227122292a0b4d6178526574727928332932" +
		"060885e2cfaa063a0b088092b8c398feffffff01"},
	{"GV-8", "event", "0a03696431120b0885e2cfaa0610959aef3a"},
	{"GV-14", "task", "0a01741a016922017128ffffffffffffffffff01"},
	{"GV-15", "server", "2a050a016110003001420b088092b8c398feffffff01"},
	{"GV-16", "server", "4200"},
}

// TestGoldenVectors: what C makes of each vector, any decoder reads with equal values.
func TestGoldenVectors(t *testing.T) {
	t.Parallel()
	t.Run("A-04", func(t *testing.T) {
		peer := StartPeer(t, "redis://127.0.0.1:1")
		for _, vector := range golden {
			raw, _ := hex.DecodeString(vector[2])
			answer := peer.Do("wire", M{"kind": vector[1], "hex": vector[2]})
			equal(t, vector[0]+": bytes", answer["hex"], any(vector[2]))
			written, _ := hex.DecodeString(fmt.Sprint(answer["hex"]))
			wanted, found := records[vector[1]](), records[vector[1]]()
			if err := errors.Join(proto.Unmarshal(raw, wanted), proto.Unmarshal(written, found)); err != nil {
				t.Errorf("%s: %v", vector[0], err)
			}
			equal(t, vector[0]+": values", proto.Equal(found, wanted), true)
		}
	})
}

// TestUnknownFieldsSurvive appends fields that no version knows.
func TestUnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	peer := StartPeer(t, "redis://127.0.0.1:1")
	raw := Encode(t, task("x")) + "\xa2\x06\x03abc" + "\xa8\x06\x96\x01" + "\xb5\x06\x01\x02\x03\x04" + "\xb9\x06\x01\x02\x03\x04\x05\x06\x07\x08"
	answer := peer.Must("wire", M{"kind": "task", "hex": hex.EncodeToString([]byte(raw))})
	equal(t, "bytes", answer["hex"], any(hex.EncodeToString([]byte(raw))))
}

// TestBadTexts: a text that is not UTF-8 is refused, whatever field it stands in, as Go refuses it.
func TestBadTexts(t *testing.T) {
	t.Parallel()
	peer := StartPeer(t, "redis://127.0.0.1:1")
	for kind, create := range records {
		fields := create().ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			raw := []byte{byte(field.Number()<<3 | 2), 1, 0xff}
			if field.IsMap() {
				raw = []byte{byte(field.Number()<<3 | 2), 3, 0x0a, 1, 0xff}
			} else if field.Kind() != protoreflect.StringKind {
				continue
			}
			equal(t, "Go refuses", proto.Unmarshal(raw, create()) != nil, true)
			answer := peer.Do("wire", M{"kind": kind, "hex": hex.EncodeToString(raw)})
			equal(t, kind+"."+string(field.Name()), Status(answer), -13)
		}
	}
}

// TestHostileRecords gives random and damaged bytes to every decoder. It never crashes, and what it takes it can write
// so that it reads the same again. (Ours is more tolerant than Go with numbers of more than 64 bits.)
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	peer := StartPeer(t, "redis://127.0.0.1:1")
	random := rand.New(rand.NewSource(3))
	for kind, create := range records {
		for range 1500 {
			message := create()
			fill(random, message.ProtoReflect())
			raw, _ := proto.Marshal(message)
			for range 1 + random.Intn(4) {
				if len(raw) == 0 {
					break
				}
				switch at := random.Intn(len(raw)); random.Intn(3) {
				case 0:
					raw[at] ^= byte(1 << random.Intn(8))
				case 1:
					raw = raw[:at]
				default:
					raw = append(raw[:at:at], append([]byte{byte(random.Intn(256))}, raw[at:]...)...)
				}
			}
			answer := peer.Do("wire", M{"kind": kind, "hex": hex.EncodeToString(raw)})
			if Status(answer) != 0 {
				continue
			}
			again := peer.Do("wire", M{"kind": kind, "hex": answer["hex"]})
			if again["hex"] != answer["hex"] {
				t.Errorf("%s: %x became %v and then %v", kind, raw, answer["hex"], again["hex"])
			}
		}
	}
	huge := hex.EncodeToString([]byte("\x12\xff\xff\xff\xff\x07")) // a payload of 2 GB that is not there
	equal(t, "status of a huge length", Status(peer.Do("wire", M{"kind": "task", "hex": huge})), -13)
	many := make([]byte, 2_000_000) // a million fields of two bytes
	for i := 0; i < len(many); i += 2 {
		many[i], many[i+1] = 0x28, 1
	}
	equal(t, "status of a million fields", Status(peer.Do("wire", M{"kind": "task", "hex": hex.EncodeToString(many)})), -13)
}

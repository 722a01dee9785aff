// Conformance client on github.com/Azure/go-amqp. See ../README.md for commands and output.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/go-amqp"
)

var (
	args    = map[string]string{}
	count   = 1
	size    = 0
	address string
	ctx     = context.Background()
)

func say(line map[string]any) {
	text, err := json.Marshal(line)
	check(err)
	os.Stdout.Write(append(text, '\n'))
}

func check(err error) {
	if err != nil {
		text, _ := json.Marshal(map[string]any{"error": err.Error()})
		os.Stdout.Write(append(text, '\n'))
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

// --- values -----------------------------------------------------------------------------------------------------

func number(text string, bits int) int64 { return must(strconv.ParseInt(text, 10, bits)) }

func unsigned(text string, bits int) uint64 { return must(strconv.ParseUint(text, 10, bits)) }

func double(text string) float64 { return math.Float64frombits(must(strconv.ParseUint(text, 16, 64))) }

// parse gives the value of a case, or false when this client has no such type.
func parse(kind, text string) (any, bool) {
	switch kind {
	case "null":
		return nil, true
	case "boolean":
		return text == "true", true
	case "ubyte":
		return uint8(unsigned(text, 8)), true
	case "ushort":
		return uint16(unsigned(text, 16)), true
	case "uint":
		return uint32(unsigned(text, 32)), true
	case "ulong":
		return unsigned(text, 64), true
	case "byte":
		return int8(number(text, 8)), true
	case "short":
		return int16(number(text, 16)), true
	case "int":
		return int32(number(text, 32)), true
	case "long":
		return number(text, 64), true
	case "float":
		return float32(double(text)), true
	case "double":
		return double(text), true
	case "timestamp":
		return time.UnixMilli(number(text, 64)), true
	case "uuid":
		var id amqp.UUID
		copy(id[:], must(hex.DecodeString(strings.ReplaceAll(text, "-", ""))))
		return id, true
	case "binary":
		return must(hex.DecodeString(text)), true
	case "string":
		return text, true
	case "symbol":
		return amqp.Symbol(text), true
	}
	return nil, false
}

type structured struct {
	name  string
	value any
}

// A described value cannot be written with this client.
var structuredCases = []structured{
	{"list-empty", []any{}},
	{"list", []any{int32(1), "a", true, []any{uint64(2)}}},
	{"map", map[string]any{"k": int32(1), "n": []any{int32(2)}}},
	{"array-int", []int32{1, 2, 3}},
	{"array-symbol", []amqp.Symbol{"a", "bc"}},
}

func bits(value float64) string { return fmt.Sprintf("%016x", math.Float64bits(value)) }

func items[T any](values []T) string {
	var out []string
	for _, value := range values {
		out = append(out, canonical(value))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// canonical gives `type:text`, the same text in every client.
func canonical(value any) string {
	switch v := value.(type) {
	case nil:
		return "null:"
	case bool:
		return fmt.Sprintf("boolean:%t", v)
	case uint8:
		return fmt.Sprintf("ubyte:%d", v)
	case uint16:
		return fmt.Sprintf("ushort:%d", v)
	case uint32:
		return fmt.Sprintf("uint:%d", v)
	case uint64:
		return fmt.Sprintf("ulong:%d", v)
	case int8:
		return fmt.Sprintf("byte:%d", v)
	case int16:
		return fmt.Sprintf("short:%d", v)
	case int32:
		return fmt.Sprintf("int:%d", v)
	case int64:
		return fmt.Sprintf("long:%d", v)
	case float32:
		return "float:" + bits(float64(v))
	case float64:
		return "double:" + bits(v)
	case time.Time:
		return fmt.Sprintf("timestamp:%d", v.UnixMilli())
	case amqp.UUID:
		return "uuid:" + v.String()
	case []byte:
		return "binary:" + hex.EncodeToString(v)
	case string:
		return "string:" + v
	case amqp.Symbol:
		return "symbol:" + string(v)
	case []any:
		return "list:" + items(v)
	case []int32:
		return "array:" + items(v)
	case []amqp.Symbol:
		return "array:" + items(v)
	case map[string]any:
		var pairs []string
		for key, item := range v {
			pairs = append(pairs, canonical(key)+"="+canonical(item))
		}
		sort.Strings(pairs)
		return "map:{" + strings.Join(pairs, ",") + "}"
	}
	return fmt.Sprintf("%T:%v", value, value)
}

func pointer[T any](value T) *T { return &value }

func message(body any) *amqp.Message { return &amqp.Message{Value: body} }

func matrix() []*amqp.Message {
	var out []*amqp.Message
	file := must(os.Open(args["cases"]))
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		parts := strings.Split(lines.Text(), "\t")
		value, ok := parse(parts[1], parts[2])
		if !ok {
			continue
		}
		msg := message(value)
		msg.Properties = &amqp.MessageProperties{Subject: &parts[0]}
		msg.ApplicationProperties = map[string]any{"v": value}
		msg.Annotations = amqp.Annotations{"x-opt-v": value}
		out = append(out, msg)
	}
	for _, one := range structuredCases {
		msg := message(one.value)
		msg.Properties = &amqp.MessageProperties{Subject: pointer(one.name)}
		msg.Annotations = amqp.Annotations{"x-opt-v": one.value}
		out = append(out, msg)
	}
	out = append(out, &amqp.Message{
		Properties: &amqp.MessageProperties{Subject: pointer("data")}, Data: [][]byte{{0, 1, 255}},
	})
	out = append(out, &amqp.Message{
		Properties: &amqp.MessageProperties{Subject: pointer("sequence")}, Sequence: [][]any{{int32(1), "a"}},
	})
	all := message("p")
	all.Header = &amqp.MessageHeader{Durable: true, Priority: 7, TTL: time.Hour}
	all.Properties = &amqp.MessageProperties{
		Subject: pointer("properties"), MessageID: uint64(77), UserID: []byte("user"), To: pointer("to-field"),
		ReplyTo: pointer("reply-field"), CorrelationID: "corr", ContentType: pointer("text/plain"),
		ContentEncoding: pointer("identity"), AbsoluteExpiryTime: pointer(time.UnixMilli(4102444800000)),
		CreationTime: pointer(time.UnixMilli(1700000000000)), GroupID: pointer("group"),
		GroupSequence: pointer(uint32(5)), ReplyToGroupID: pointer("reply-group"),
	}
	all.ApplicationProperties = map[string]any{"b": true, "s": "text"}
	return append(out, all)
}

func describe(msg *amqp.Message) map[string]any {
	p := msg.Properties
	name := *p.Subject
	line := map[string]any{"name": name}
	if name == "properties" {
		line["properties"] = map[string]string{
			"durable": fmt.Sprint(msg.Header.Durable), "priority": fmt.Sprint(msg.Header.Priority),
			"ttl": fmt.Sprint(msg.Header.TTL.Milliseconds()), "message-id": canonical(p.MessageID),
			"user-id": string(p.UserID), "to": *p.To, "reply-to": *p.ReplyTo,
			"correlation-id": canonical(p.CorrelationID), "content-type": *p.ContentType,
			"content-encoding": *p.ContentEncoding, "expiry": fmt.Sprint(p.AbsoluteExpiryTime.UnixMilli()),
			"creation": fmt.Sprint(p.CreationTime.UnixMilli()), "group-id": *p.GroupID,
			"group-sequence": fmt.Sprint(*p.GroupSequence), "reply-to-group-id": *p.ReplyToGroupID,
			"b": canonical(msg.ApplicationProperties["b"]), "s": canonical(msg.ApplicationProperties["s"]),
		}
		return line
	}
	switch {
	case len(msg.Data) > 0:
		line["body"] = "data:" + hex.EncodeToString(msg.Data[0])
	case len(msg.Sequence) > 0:
		line["body"] = "sequence:" + items(msg.Sequence[0])
	default:
		line["body"] = canonical(msg.Value)
	}
	if value, ok := msg.ApplicationProperties["v"]; ok {
		line["prop"] = canonical(value)
	}
	if value, ok := msg.Annotations["x-opt-v"]; ok {
		line["ann"] = canonical(value)
	}
	return line
}

// --- commands ---------------------------------------------------------------------------------------------------

func connect() (*amqp.Conn, *amqp.Session) {
	options := &amqp.ConnOptions{SASLType: amqp.SASLTypeAnonymous(), IdleTimeout: -1}
	scheme := "amqp"
	if args["host"] == "" {
		args["host"] = "127.0.0.1"
	}
	if args["tls"] != "" {
		scheme = "amqps"
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(must(os.ReadFile(args["ca"])))
		options.TLSConfig = &tls.Config{RootCAs: roots, ServerName: args["host"]}
		if args["cert"] != "" {
			pair := must(tls.LoadX509KeyPair(args["cert"], args["key"]))
			options.TLSConfig.Certificates = []tls.Certificate{pair}
			options.SASLType = amqp.SASLTypeExternal("")
		}
	}
	conn := must(amqp.Dial(ctx, fmt.Sprintf("%s://%s:%s", scheme, args["host"], args["port"]), options))
	return conn, must(conn.NewSession(ctx, nil))
}

func outcome(state amqp.DeliveryState) string {
	switch v := state.(type) {
	case *amqp.StateAccepted:
		return "accepted"
	case *amqp.StateRejected:
		if v.Error == nil {
			return "rejected"
		}
		return fmt.Sprintf("rejected:%s:%s", v.Error.Condition, v.Error.Description)
	case *amqp.StateReleased:
		return "released"
	case *amqp.StateModified:
		return fmt.Sprintf("modified:failed=%t:undeliverable=%t", v.DeliveryFailed, v.UndeliverableHere)
	}
	return fmt.Sprintf("%T", state)
}

func sendOne(sender *amqp.Sender, msg *amqp.Message) string {
	receipt := must(sender.SendWithReceipt(ctx, msg, nil))
	return outcome(must(receipt.Wait(ctx)))
}

func send(session *amqp.Session) {
	var to []string
	if args["to"] != "" {
		to = strings.Split(args["to"], ",")
	}
	sender := must(session.NewSender(ctx, address, nil))
	seen := map[string]any{"accepted": 0, "rejected": 0, "released": 0, "modified": 0}
	var receipts []amqp.SendReceipt
	for i := 0; i < count; i++ {
		text := fmt.Sprintf("m-%d", i)
		if len(text) < size {
			text += strings.Repeat(".", size-len(text))
		}
		msg := message(text)
		if to != nil {
			msg.Properties = &amqp.MessageProperties{To: pointer(to[i%len(to)])}
		}
		if args["settled"] != "" {
			check(sender.Send(ctx, msg, &amqp.SendOptions{Settled: true}))
			continue
		}
		receipts = append(receipts, must(sender.SendWithReceipt(ctx, msg, nil)))
	}
	for _, receipt := range receipts {
		name := strings.Split(outcome(must(receipt.Wait(ctx))), ":")[0]
		seen[name] = seen[name].(int) + 1
	}
	seen["sent"] = count
	say(seen)
}

func receiver(session *amqp.Session, credit int32) *amqp.Receiver {
	out := must(session.NewReceiver(ctx, address, &amqp.ReceiverOptions{Credit: credit}))
	say(map[string]any{"ready": true})
	return out
}

func recv(session *amqp.Session) {
	from := receiver(session, 100)
	ordered, bytes := true, 0
	for i := 0; i < count; i++ {
		msg := must(from.Receive(ctx, nil))
		text := msg.Value.(string)
		ordered = ordered && strings.TrimRight(text, ".") == fmt.Sprintf("m-%d", i)
		bytes += len(text)
		check(from.AcceptMessage(ctx, msg))
	}
	say(map[string]any{"received": count, "ordered": ordered, "bytes": bytes})
}

func request(session *amqp.Session) {
	sender := must(session.NewSender(ctx, address, nil))
	from := must(session.NewReceiver(ctx, "", &amqp.ReceiverOptions{DynamicAddress: true}))
	replyTo := from.Address()
	for i := 0; i < count; i++ {
		msg := message(fmt.Sprintf("q-%d", i))
		msg.Properties = &amqp.MessageProperties{ReplyTo: &replyTo, CorrelationID: uint64(i)}
		check(sender.Send(ctx, msg, nil))
		reply := must(from.Receive(ctx, nil))
		if reply.Value != fmt.Sprintf("q-%d!", i) || reply.Properties.CorrelationID != uint64(i) {
			check(fmt.Errorf("reply %v to %v", reply.Value, reply.Properties.CorrelationID))
		}
		check(from.AcceptMessage(ctx, reply))
	}
	say(map[string]any{"replies": count, "reply_to": replyTo})
}

func respond(session *amqp.Session) {
	sender := must(session.NewSender(ctx, "", nil))
	from := receiver(session, 10)
	for i := 0; i < count; i++ {
		msg := must(from.Receive(ctx, nil))
		reply := message(msg.Value.(string) + "!")
		reply.Properties = &amqp.MessageProperties{
			To: msg.Properties.ReplyTo, CorrelationID: msg.Properties.CorrelationID,
		}
		// First: Send returns when the reply was accepted, which the requester may do after its request was.
		check(from.AcceptMessage(ctx, msg))
		check(sender.Send(ctx, reply, nil))
	}
	say(map[string]any{"answered": count})
}

func outcomesSend(session *amqp.Session) {
	sender := must(session.NewSender(ctx, address, nil))
	seen := map[string]string{}
	for _, name := range []string{"accept", "reject", "release", "modify"} {
		seen[name] = sendOne(sender, message(name))
	}
	say(map[string]any{"outcomes": seen})
}

func outcomesRecv(session *amqp.Session) {
	from := receiver(session, 10)
	for i := 0; i < 4; i++ {
		msg := must(from.Receive(ctx, nil))
		switch msg.Value {
		case "accept":
			check(from.AcceptMessage(ctx, msg))
		case "reject":
			check(from.RejectMessage(ctx, msg, &amqp.Error{Condition: "test:rejected", Description: "as told"}))
		case "release":
			check(from.ReleaseMessage(ctx, msg))
		default:
			options := &amqp.ModifyMessageOptions{DeliveryFailed: true, UndeliverableHere: true}
			check(from.ModifyMessage(ctx, msg, options))
		}
	}
	say(map[string]any{"handled": 4})
}

func typesSend(session *amqp.Session) {
	sender := must(session.NewSender(ctx, address, nil))
	skip := "," + args["skip"] + ","
	for _, msg := range matrix() {
		name := *msg.Properties.Subject
		if strings.Contains(skip, ","+name+",") {
			continue
		}
		say(map[string]any{"sent": name})
		if got := sendOne(sender, msg); got != "accepted" {
			check(fmt.Errorf("%s: %s", name, got))
		}
	}
	say(map[string]any{"done": true})
}

func typesRecv(session *amqp.Session) {
	from := receiver(session, 10)
	for i := 0; i < count; i++ {
		msg := must(from.Receive(ctx, nil))
		say(describe(msg))
		check(from.AcceptMessage(ctx, msg))
	}
	say(map[string]any{"done": true})
}

func drain(session *amqp.Session) {
	from := receiver(session, -1)
	received, drains := 0, 0
	for last := false; ; {
		check(from.IssueCredit(10))
		// go-amqp forgets credit that it has not written yet when it drains.
		time.Sleep(20 * time.Millisecond)
		check(from.DrainCredit(ctx, nil))
		drains++
		for msg := from.Prefetched(); msg != nil; msg = from.Prefetched() {
			received++
			check(from.AcceptMessage(ctx, msg))
		}
		if last {
			break
		}
		last = received >= count
	}
	say(map[string]any{"received": received, "drains": drains})
}

func main() {
	if len(os.Args) < 2 {
		check(errors.New("no command"))
	}
	for _, arg := range os.Args[2:] {
		key, value, _ := strings.Cut(arg, "=")
		args[key] = value
	}
	if text, ok := args["count"]; ok {
		count = must(strconv.Atoi(text))
	}
	if text, ok := args["size"]; ok {
		size = must(strconv.Atoi(text))
	}
	address = args["address"]
	commands := map[string]func(*amqp.Session){
		"send": send, "recv": recv, "request": request, "respond": respond, "outcomes-send": outcomesSend,
		"outcomes-recv": outcomesRecv, "types-send": typesSend, "types-recv": typesRecv, "drain": drain,
	}
	command, ok := commands[os.Args[1]]
	if !ok {
		check(errors.New("unknown command"))
	}
	conn, session := connect()
	command(session)
	check(conn.Close())
}

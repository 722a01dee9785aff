// Conformance client on Qpid Proton's C++ binding. See ../README.md for commands and output.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <proton/codec/decoder.hpp>
#include <proton/codec/encoder.hpp>
#include <proton/codec/list.hpp>
#include <proton/codec/map.hpp>
#include <proton/codec/vector.hpp>
#include <proton/annotation_key.hpp>
#include <proton/connection.hpp>
#include <proton/connection_options.hpp>
#include <proton/container.hpp>
#include <proton/decimal.hpp>
#include <proton/delivery.hpp>
#include <proton/error_condition.hpp>
#include <proton/message.hpp>
#include <proton/message_id.hpp>
#include <proton/messaging_handler.hpp>
#include <proton/null.hpp>
#include <proton/receiver.hpp>
#include <proton/receiver_options.hpp>
#include <proton/sender.hpp>
#include <proton/sender_options.hpp>
#include <proton/session.hpp>
#include <proton/source.hpp>
#include <proton/source_options.hpp>
#include <proton/ssl.hpp>
#include <proton/target.hpp>
#include <proton/target_options.hpp>
#include <proton/timestamp.hpp>
#include <proton/tracker.hpp>
#include <proton/transport.hpp>
#include <proton/uuid.hpp>
#include <proton/value.hpp>

using std::string;

static std::map<string, string> ARGS;

static string arg(const string& key, const string& otherwise = "") {
    auto found = ARGS.find(key);
    return found == ARGS.end() ? otherwise : found->second;
}
static int number(const string& key, int otherwise) {
    return ARGS.count(key) ? std::atoi(ARGS[key].c_str()) : otherwise;
}
static void say(const string& line) { std::cout << "{" << line << "}" << std::endl; }
static string quote(const string& text) { return "\"" + text + "\""; }
static string pair(const string& key, const string& text) { return quote(key) + ":" + quote(text); }
static string pair(const string& key, uint64_t n) { return quote(key) + ":" + std::to_string(n); }

// --- values -------------------------------------------------------------------------------------------------------

template <class Bytes> static string hex(const Bytes& bytes) {
    string out;
    char two[3];
    for (size_t i = 0; i < bytes.size(); ++i) {
        std::snprintf(two, sizeof two, "%02x", static_cast<unsigned char>(bytes[i]));
        out += two;
    }
    return out;
}
static std::vector<uint8_t> unhex(const string& text) {
    std::vector<uint8_t> out;
    for (size_t i = 0; i + 1 < text.size(); i += 2) out.push_back(std::stoul(text.substr(i, 2), nullptr, 16));
    return out;
}
static string double_bits(double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, 8);
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(bits));
    return text;
}
static double bits_double(const string& text) {
    uint64_t bits = std::stoull(text, nullptr, 16);
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
}
template <class T> static T bytes_of(const string& text) {
    T out;
    std::vector<uint8_t> bytes = unhex(text);
    for (size_t i = 0; i < out.size(); ++i) out[i] = bytes[i];
    return out;
}

template <class T> static T turned(T bytes) {
    const uint16_t one = 1;
    if (*reinterpret_cast<const uint8_t*>(&one)) std::reverse(bytes.begin(), bytes.end());
    return bytes;
}

static proton::value parse(const string& kind, const string& text) {
    if (kind == "null") return proton::null();
    if (kind == "boolean") return text == "true";
    if (kind == "ubyte") return uint8_t(std::stoul(text));
    if (kind == "ushort") return uint16_t(std::stoul(text));
    if (kind == "uint") return uint32_t(std::stoul(text));
    if (kind == "ulong") return uint64_t(std::stoull(text));
    if (kind == "byte") return int8_t(std::stoi(text));
    if (kind == "short") return int16_t(std::stoi(text));
    if (kind == "int") return int32_t(std::stoi(text));
    if (kind == "long") return int64_t(std::stoll(text));
    if (kind == "float") return float(bits_double(text));
    if (kind == "double") return bits_double(text);
    // Proton holds the two smaller decimals in the byte order of the machine.
    if (kind == "decimal32") return turned(bytes_of<proton::decimal32>(text));
    if (kind == "decimal64") return turned(bytes_of<proton::decimal64>(text));
    if (kind == "decimal128") return bytes_of<proton::decimal128>(text);
    if (kind == "char") return wchar_t(std::stoul(text, nullptr, 16));
    if (kind == "timestamp") return proton::timestamp(std::stoll(text));
    if (kind == "uuid") {
        string digits;
        for (char c : text) if (c != '-') digits += c;
        return bytes_of<proton::uuid>(digits);
    }
    if (kind == "binary") {
        std::vector<uint8_t> bytes = unhex(text);
        return proton::binary(bytes.begin(), bytes.end());
    }
    if (kind == "symbol") return proton::symbol(text);
    return text;
}

static string canonical_next(proton::codec::decoder& d);

static string canonical_items(proton::codec::decoder& d, size_t n, bool map) {
    std::vector<string> items;
    for (size_t i = 0; i < n; ++i) {
        string item = canonical_next(d);
        if (map && i % 2) items.back() += "=" + item;
        else items.push_back(item);
    }
    if (map) std::sort(items.begin(), items.end());
    string out;
    for (auto& item : items) out += (out.empty() ? "" : ",") + item;
    return out;
}

// `type:text`, the same text in every client.
static string canonical_next(proton::codec::decoder& d) {
    using namespace proton;
    std::ostringstream out;
    switch (d.next_type()) {
      case NULL_TYPE: { null v; d >> v; return "null:"; }
      case BOOLEAN: { bool v; d >> v; return v ? "boolean:true" : "boolean:false"; }
      case UBYTE: { uint8_t v; d >> v; out << "ubyte:" << unsigned(v); break; }
      case USHORT: { uint16_t v; d >> v; out << "ushort:" << v; break; }
      case UINT: { uint32_t v; d >> v; out << "uint:" << v; break; }
      case ULONG: { uint64_t v; d >> v; out << "ulong:" << v; break; }
      case BYTE: { int8_t v; d >> v; out << "byte:" << int(v); break; }
      case SHORT: { int16_t v; d >> v; out << "short:" << v; break; }
      case INT: { int32_t v; d >> v; out << "int:" << v; break; }
      case LONG: { int64_t v; d >> v; out << "long:" << v; break; }
      case FLOAT: { float v; d >> v; out << "float:" << double_bits(v); break; }
      case DOUBLE: { double v; d >> v; out << "double:" << double_bits(v); break; }
      case DECIMAL32: { decimal32 v; d >> v; out << "decimal32:" << hex(turned(v)); break; }
      case DECIMAL64: { decimal64 v; d >> v; out << "decimal64:" << hex(turned(v)); break; }
      case DECIMAL128: { decimal128 v; d >> v; out << "decimal128:" << hex(v); break; }
      case CHAR: { wchar_t v; d >> v; out << "char:" << std::hex << uint32_t(v); break; }
      case TIMESTAMP: { timestamp v; d >> v; out << "timestamp:" << v.milliseconds(); break; }
      case UUID: { uuid v; d >> v; out << "uuid:" << v; break; }
      case BINARY: { binary v; d >> v; out << "binary:" << hex(v); break; }
      case STRING: { string v; d >> v; out << "string:" << v; break; }
      case SYMBOL: { symbol v; d >> v; out << "symbol:" << v; break; }
      case LIST: case MAP: case ARRAY: {
        codec::start s;
        d >> s;
        const char* name = s.type == LIST ? "list:[" : s.type == MAP ? "map:{" : "array:[";
        out << name << canonical_items(d, s.size, s.type == MAP) << (s.type == MAP ? "}" : "]");
        d >> codec::finish();
        break;
      }
      case DESCRIBED: {
        codec::start s;
        d >> s;
        string descriptor = canonical_next(d);
        out << "described:" << descriptor << "|" << canonical_next(d);
        d >> codec::finish();
        break;
      }
      default: return "?";
    }
    return out.str();
}
static string canonical(const proton::value& v) {
    if (v.empty()) return "null:";
    proton::codec::decoder d(v);
    d.rewind();
    return canonical_next(d);
}

static proton::value structured(const string& name) {
    using namespace proton::codec;
    proton::value v;
    encoder e(v);
    if (name == "list-empty") {
        e << start::list() << finish();
    } else if (name == "list") {
        e << start::list() << int32_t(1) << string("a") << true << start::list() << uint64_t(2) << finish() << finish();
    } else if (name == "map") {
        e << start::map() << string("k") << int32_t(1) << string("n") << start::list() << int32_t(2) << finish()
          << finish();
    } else if (name == "array-int") {
        e << start::array(proton::INT) << int32_t(1) << int32_t(2) << int32_t(3) << finish();
    } else if (name == "array-symbol") {
        e << start::array(proton::SYMBOL) << proton::symbol("a") << proton::symbol("bc") << finish();
    } else {
        e << start::described() << uint64_t(4660) << string("x") << finish();
    }
    return v;
}

static std::vector<proton::message> matrix() {
    std::vector<proton::message> out;
    std::ifstream file(arg("cases"));
    string line;
    while (std::getline(file, line)) {
        size_t one = line.find('\t'), two = line.find('\t', one + 1);
        proton::value v = parse(line.substr(one + 1, two - one - 1), line.substr(two + 1));
        proton::message m;
        m.subject(line.substr(0, one));
        m.body() = v;
        m.properties().put("v", proton::scalar(proton::get<proton::scalar>(v)));
        m.message_annotations().put(proton::annotation_key(proton::symbol("x-opt-v")), v);
        out.push_back(m);
    }
    for (const char* name : {"list-empty", "list", "map", "array-int", "array-symbol", "described"}) {
        proton::message m;
        m.subject(name);
        proton::value v = structured(name);
        m.body(v);
        m.message_annotations().put(proton::annotation_key(proton::symbol("x-opt-v")), v);
        out.push_back(m);
    }
    proton::message data;
    data.subject("data");
    data.inferred(true);
    proton::value bytes = parse("binary", "0001ff");
    data.body(bytes);
    out.push_back(data);
    proton::message sequence;
    sequence.subject("sequence");
    sequence.inferred(true);
    {
        proton::codec::encoder e(sequence.body());
        e << proton::codec::start::list() << int32_t(1) << string("a") << proton::codec::finish();
    }
    out.push_back(sequence);
    proton::message p;
    p.subject("properties");
    p.body("p");
    p.durable(true);
    p.priority(7);
    p.ttl(proton::duration(3600000));
    p.id(uint64_t(77));
    p.user("user");
    p.to("to-field");
    p.reply_to("reply-field");
    p.correlation_id("corr");
    p.content_type("text/plain");
    p.content_encoding("identity");
    p.expiry_time(proton::timestamp(4102444800000));
    p.creation_time(proton::timestamp(1700000000000));
    p.group_id("group");
    p.group_sequence(5);
    p.reply_to_group_id("reply-group");
    p.properties().put("b", true);
    p.properties().put("s", "text");
    out.push_back(p);
    string skip = "," + arg("skip") + ",";
    std::vector<proton::message> wanted;
    for (auto& m : out)
        if (skip.find("," + m.subject() + ",") == string::npos) wanted.push_back(m);
    return wanted;
}

static string describe(const proton::message& m) {
    string name = m.subject();
    string out = pair("name", name) + ",";
    if (name == "properties") {
        return out + "\"properties\":{" + pair("durable", m.durable() ? "true" : "false") + "," +
               pair("priority", std::to_string(int(m.priority()))) + "," +
               pair("ttl", std::to_string(m.ttl().milliseconds())) + "," + pair("message-id", canonical(m.id())) + "," +
               pair("user-id", m.user()) + "," + pair("to", m.to()) + "," + pair("reply-to", m.reply_to()) + "," +
               pair("correlation-id", canonical(m.correlation_id())) + "," + pair("content-type", m.content_type()) +
               "," + pair("content-encoding", m.content_encoding()) + "," +
               pair("expiry", std::to_string(m.expiry_time().milliseconds())) + "," +
               pair("creation", std::to_string(m.creation_time().milliseconds())) + "," +
               pair("group-id", m.group_id()) + "," + pair("group-sequence", std::to_string(m.group_sequence())) + "," +
               pair("reply-to-group-id", m.reply_to_group_id()) + "," +
               pair("b", canonical(m.properties().get("b"))) + "," + pair("s", canonical(m.properties().get("s"))) +
               "}";
    }
    string body = canonical(m.body());
    if (m.inferred()) body = name + body.substr(body.find(':'));
    out += pair("body", body);
    if (m.properties().exists("v")) out += "," + pair("prop", canonical(m.properties().get("v")));
    if (m.message_annotations().exists(proton::annotation_key(proton::symbol("x-opt-v"))))
        out += "," + pair("ann", canonical(m.message_annotations().get(proton::annotation_key(proton::symbol("x-opt-v")))));
    return out;
}

// --- commands -----------------------------------------------------------------------------------------------------

static string outcome(const proton::tracker& t) {
    switch (t.state()) {
      case proton::transfer::ACCEPTED: return "accepted";
      case proton::transfer::REJECTED: return "rejected";
      case proton::transfer::RELEASED: return "released";
      case proton::transfer::MODIFIED: return "modified";
      default: return "none";
    }
}

struct Command : proton::messaging_handler {
    int count = number("count", 1);
    string address = arg("address");
    proton::connection connection;
    bool failed = false;

    proton::connection_options options() {
        proton::connection_options o;
        if (ARGS.count("tls")) {
            o.virtual_host(arg("host", "127.0.0.1"));
            if (ARGS.count("cert")) {
                proton::ssl_certificate certificate(arg("cert"), arg("key"));
                o.ssl_client_options(proton::ssl_client_options(certificate, arg("ca"), proton::ssl::VERIFY_PEER_NAME));
                o.sasl_allowed_mechs("EXTERNAL");
            } else {
                o.ssl_client_options(proton::ssl_client_options(arg("ca"), proton::ssl::VERIFY_PEER_NAME));
            }
        }
        return o;
    }
    string url() {
        return (ARGS.count("tls") ? "amqps://" : "amqp://") + arg("host", "127.0.0.1") + ":" + arg("port");
    }
    void on_container_start(proton::container& c) override {
        proton::connection_options o;
        if (ARGS.count("tls")) o = options();
        connection = c.connect(url(), o);
        begin(c);
    }
    virtual void begin(proton::container&) = 0;
    void on_error(const proton::error_condition& e) override {
        say(pair("error", e.what()));
        failed = true;
        connection.container().stop();
    }
    void done(const string& line) {
        say(line);
        connection.close();
    }
    static string ready() { return "\"ready\":true"; }
    proton::receiver receive(const string& from, int credit, bool accept = true) {
        return connection.open_receiver(from, proton::receiver_options().credit_window(credit).auto_accept(accept));
    }
};

struct Send : Command {
    std::vector<string> to;
    proton::sender sender;
    int sent = 0, settled = 0;
    std::map<string, int> outcomes{{"accepted", 0}, {"rejected", 0}, {"released", 0}, {"modified", 0}};
    void begin(proton::container&) override {
        std::istringstream list(arg("to"));
        for (string item; std::getline(list, item, ',');) to.push_back(item);
        proton::sender_options o;
        if (!to.empty()) o.target(proton::target_options().anonymous(true));
        if (ARGS.count("settled")) o.delivery_mode(proton::delivery_mode::AT_MOST_ONCE);
        sender = connection.open_sender(to.empty() ? address : "", o);
    }
    void on_sendable(proton::sender& s) override {
        size_t size = number("size", 0);
        while (s.credit() > 0 && sent < count) {
            string body = "m-" + std::to_string(sent);
            if (body.size() < size) body.resize(size, '.');
            proton::message m(body);
            if (!to.empty()) m.to(to[sent % to.size()]);
            s.send(m);
            ++sent;
        }
        if (ARGS.count("settled") && sent == count && !settled++) done(pair("sent", sent));
    }
    void on_tracker_settle(proton::tracker& t) override {
        if (ARGS.count("settled")) return;
        ++outcomes[outcome(t)];
        if (++settled == count) {
            string line = pair("sent", sent);
            for (auto& o : outcomes) line += "," + pair(o.first, o.second);
            done(line);
        }
    }
};

struct Recv : Command {
    int received = 0;
    uint64_t bytes = 0;
    bool ordered = true;
    void begin(proton::container&) override { receive(address, 100); }
    void on_receiver_open(proton::receiver&) override { say(ready()); }
    void on_message(proton::delivery& d, proton::message& m) override {
        if (received == count) return;
        string text = proton::get<string>(m.body());
        ordered &= text.substr(0, text.find('.')) == "m-" + std::to_string(received);
        bytes += text.size();
        d.accept();
        if (++received == count)
            done(pair("received", received) + ",\"ordered\":" + (ordered ? "true" : "false") + "," + pair("bytes", bytes));
    }
};

struct Request : Command {
    proton::sender sender;
    proton::receiver receiver;
    int replies = 0;
    void begin(proton::container&) override {
        sender = connection.open_sender(address);
        receiver = connection.open_receiver(
            "", proton::receiver_options().source(proton::source_options().dynamic(true)));
    }
    void request() {
        proton::message m("q-" + std::to_string(replies));
        m.reply_to(receiver.source().address());
        m.correlation_id(uint64_t(replies));
        sender.send(m);
    }
    void on_receiver_open(proton::receiver&) override { request(); }
    void on_message(proton::delivery&, proton::message& m) override {
        if (proton::get<string>(m.body()) != "q-" + std::to_string(replies) + "!" ||
            proton::get<uint64_t>(m.correlation_id()) != uint64_t(replies)) {
            say(pair("error", "wrong reply"));
            std::exit(1);
        }
        if (++replies == count)
            done(pair("replies", replies) + "," + pair("reply_to", receiver.source().address()));
        else
            request();
    }
};

struct Respond : Command {
    proton::sender sender;
    int answered = 0, settled = 0;
    void begin(proton::container&) override {
        sender = connection.open_sender(
            "", proton::sender_options().target(proton::target_options().anonymous(true)));
        receive(address, 10);
    }
    void on_receiver_open(proton::receiver&) override { say(ready()); }
    void on_message(proton::delivery&, proton::message& m) override {
        proton::message reply(proton::get<string>(m.body()) + "!");
        reply.to(m.reply_to());
        reply.correlation_id(m.correlation_id());
        sender.send(reply);
        ++answered;
    }
    void on_tracker_settle(proton::tracker&) override {
        if (++settled == count) done(pair("answered", answered));
    }
};

static const char* OUTCOMES[] = {"accept", "reject", "release", "modify"};

struct OutcomesSend : Command {
    int sent = 0;
    std::vector<std::pair<proton::tracker, string>> trackers;
    std::map<string, string> seen;
    void begin(proton::container&) override { connection.open_sender(address); }
    void on_sendable(proton::sender& s) override {
        for (; s.credit() > 0 && sent < 4; ++sent)
            trackers.emplace_back(s.send(proton::message(OUTCOMES[sent])), OUTCOMES[sent]);
    }
    void on_tracker_settle(proton::tracker& t) override {
        for (auto& known : trackers)
            if (known.first == t) seen[known.second] = outcome(t);
        if (seen.size() < 4) return;
        string line;
        for (auto& s : seen) line += (line.empty() ? "" : ",") + pair(s.first, s.second);
        done("\"outcomes\":{" + line + "}");
    }
};

struct OutcomesRecv : Command {
    int handled = 0;
    void begin(proton::container&) override { receive(address, 10, false); }
    void on_receiver_open(proton::receiver&) override { say(ready()); }
    void on_message(proton::delivery& d, proton::message& m) override {
        string wanted = proton::get<string>(m.body());
        if (wanted == "accept") d.accept();
        else if (wanted == "reject") d.reject();
        else if (wanted == "release") d.release();
        else d.modify();
        if (++handled == 4) done(pair("handled", handled));
    }
};

struct TypesSend : Command {
    std::vector<proton::message> messages = matrix();
    size_t sent = 0, settled = 0;
    void begin(proton::container&) override { connection.open_sender(address); }
    void on_sendable(proton::sender& s) override {
        for (; s.credit() > 0 && sent < messages.size(); ++sent) {
            say(pair("sent", messages[sent].subject()));
            s.send(messages[sent]);
        }
    }
    void on_tracker_accept(proton::tracker&) override {
        if (++settled == messages.size()) done("\"done\":true");
    }
};

struct TypesRecv : Command {
    int received = 0;
    void begin(proton::container&) override { receive(address, 10); }
    void on_receiver_open(proton::receiver&) override { say(ready()); }
    void on_message(proton::delivery&, proton::message& m) override {
        say(describe(m));
        if (++received == count) done("\"done\":true");
    }
};

struct Drain : Command {
    int received = 0, drains = 0;
    bool last = false;
    void begin(proton::container&) override { receive(address, 0); }
    void on_receiver_open(proton::receiver& r) override {
        say(ready());
        r.add_credit(10);
        r.drain();
    }
    void on_message(proton::delivery&, proton::message&) override { ++received; }
    void on_receiver_drain_finish(proton::receiver& r) override {
        ++drains;
        if (last) return done(pair("received", received) + "," + pair("drains", drains));
        last = received >= count;
        r.add_credit(10);
        r.drain();
    }
};

// `count` receivers for address.0, address.1, .. over `connections` connections; open until the file `until` exists.
struct Links : Command {
    int connections = number("connections", 1), attached = 0, closed = 0;
    std::vector<proton::connection> all;
    void begin(proton::container& c) override {
        all.push_back(connection);
        for (int i = 1; i < connections; ++i) all.push_back(c.connect(url()));
        proton::receiver_options o = proton::receiver_options().credit_window(0);
        for (int i = 0; i < count; ++i) all[i % connections].open_receiver(address + "." + std::to_string(i), o);
    }
    void on_receiver_open(proton::receiver&) override {
        if (++attached < count) return;
        say(pair("attached", attached));
        while (!std::ifstream(arg("until"))) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        for (auto& one : all) one.close();
    }
    void on_connection_close(proton::connection&) override {
        if (++closed == connections) say(pair("closed", closed));
    }
};

template <class T> static int run() {
    T command;
    proton::container(command).run();
    return command.failed ? 1 : 0;
}

int main(int argc, char** argv) {
    for (int i = 2; i < argc; ++i) {
        string text = argv[i];
        size_t at = text.find('=');
        ARGS[text.substr(0, at)] = text.substr(at + 1);
    }
    string name = argc > 1 ? argv[1] : "";
    try {
        if (name == "send") return run<Send>();
        if (name == "recv") return run<Recv>();
        if (name == "request") return run<Request>();
        if (name == "respond") return run<Respond>();
        if (name == "outcomes-send") return run<OutcomesSend>();
        if (name == "outcomes-recv") return run<OutcomesRecv>();
        if (name == "types-send") return run<TypesSend>();
        if (name == "types-recv") return run<TypesRecv>();
        if (name == "drain") return run<Drain>();
        if (name == "links") return run<Links>();
        say(pair("error", "unknown command"));
    } catch (const std::exception& e) {
        say(pair("error", e.what()));
    }
    return 1;
}

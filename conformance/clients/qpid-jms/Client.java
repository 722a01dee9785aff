// Conformance client on Qpid JMS. See ../README.md for commands and output.

import jakarta.jms.BytesMessage;
import jakarta.jms.CompletionListener;
import jakarta.jms.Connection;
import jakarta.jms.DeliveryMode;
import jakarta.jms.JMSException;
import jakarta.jms.MapMessage;
import jakarta.jms.Message;
import jakarta.jms.MessageConsumer;
import jakarta.jms.MessageProducer;
import jakarta.jms.ObjectMessage;
import jakarta.jms.Queue;
import jakarta.jms.Session;
import jakarta.jms.StreamMessage;
import jakarta.jms.TextMessage;
import java.io.PrintStream;
import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Collectors;
import org.apache.qpid.jms.JmsConnectionFactory;
import org.apache.qpid.proton.amqp.Binary;
import org.apache.qpid.proton.amqp.Decimal128;
import org.apache.qpid.proton.amqp.Decimal32;
import org.apache.qpid.proton.amqp.Decimal64;
import org.apache.qpid.proton.amqp.DescribedType;
import org.apache.qpid.proton.amqp.Symbol;
import org.apache.qpid.proton.amqp.UnsignedByte;
import org.apache.qpid.proton.amqp.UnsignedInteger;
import org.apache.qpid.proton.amqp.UnsignedLong;
import org.apache.qpid.proton.amqp.UnsignedShort;

public final class Client {
    static final Map<String, String> ARGS = new HashMap<>();
    static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    static final List<String> OUTCOMES = List.of("accept", "reject", "release", "modify");
    static int count;
    static int size;
    static Connection connection;
    static Session session;

    static void say(Object... pairs) {
        StringBuilder out = new StringBuilder("{");
        for (int i = 0; i < pairs.length; i += 2) {
            out.append(i == 0 ? "" : ",").append(json(pairs[i])).append(":").append(json(pairs[i + 1]));
        }
        OUT.println(out.append("}"));
    }

    static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            return map.entrySet().stream().map(e -> json(e.getKey()) + ":" + json(e.getValue()))
                .collect(Collectors.joining(",", "{", "}"));
        }
        if (value instanceof Number || value instanceof Boolean) {
            return value.toString();
        }
        return "\"" + String.valueOf(value).replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ") + "\"";
    }

    // --- values -----------------------------------------------------------------------------------------------

    static double bits(String text) {
        return Double.longBitsToDouble(Long.parseUnsignedLong(text, 16));
    }

    /** The value of a case; null for the kinds that JMS does not know. */
    static Object parse(String kind, String text) {
        return switch (kind) {
            case "boolean" -> Boolean.valueOf(text);
            case "byte" -> Byte.valueOf(text);
            case "short" -> Short.valueOf(text);
            case "int" -> Integer.valueOf(text);
            case "long" -> Long.valueOf(text);
            case "float" -> (float) bits(text);
            case "double" -> bits(text);
            case "string" -> text;
            default -> null;
        };
    }

    static String list(List<?> items) {
        return items.stream().map(Client::canonical).collect(Collectors.joining(",", "[", "]"));
    }

    /** {@code type:text}, the same text in every client. */
    static String canonical(Object v) {
        if (v == null) return "null:";
        if (v instanceof Boolean) return "boolean:" + v;
        if (v instanceof UnsignedByte) return "ubyte:" + v;
        if (v instanceof UnsignedShort) return "ushort:" + v;
        if (v instanceof UnsignedInteger) return "uint:" + v;
        if (v instanceof UnsignedLong) return "ulong:" + v;
        if (v instanceof Byte) return "byte:" + v;
        if (v instanceof Short) return "short:" + v;
        if (v instanceof Integer) return "int:" + v;
        if (v instanceof Long) return "long:" + v;
        if (v instanceof Float f) return "float:" + "%016x".formatted(Double.doubleToRawLongBits(f));
        if (v instanceof Double d) return "double:" + "%016x".formatted(Double.doubleToRawLongBits(d));
        if (v instanceof Decimal32 d) return "decimal32:" + HexFormat.of().formatHex(bytes(d.getBits(), 4));
        if (v instanceof Decimal64 d) return "decimal64:" + HexFormat.of().formatHex(bytes(d.getBits(), 8));
        if (v instanceof Decimal128 d) return "decimal128:" + HexFormat.of().formatHex(d.asBytes());
        if (v instanceof Character c) return "char:" + Integer.toHexString(c);
        if (v instanceof java.util.Date d) return "timestamp:" + d.getTime();
        if (v instanceof UUID) return "uuid:" + v;
        if (v instanceof Binary b) {
            return "binary:" + HexFormat.of().formatHex(b.getArray(), b.getArrayOffset(),
                b.getArrayOffset() + b.getLength());
        }
        if (v instanceof byte[] b) return "binary:" + HexFormat.of().formatHex(b);
        if (v instanceof String) return "string:" + v;
        if (v instanceof Symbol) return "symbol:" + v;
        if (v instanceof List<?> l) return "list:" + list(l);
        if (v instanceof DescribedType d) {
            return "described:" + canonical(d.getDescriptor()) + "|" + canonical(d.getDescribed());
        }
        if (v instanceof Map<?, ?> m) {
            return "map:{" + m.entrySet().stream().map(e -> canonical(e.getKey()) + "=" + canonical(e.getValue()))
                .sorted().collect(Collectors.joining(",")) + "}";
        }
        if (v.getClass().isArray()) {
            List<Object> items = new ArrayList<>();
            for (int i = 0; i < java.lang.reflect.Array.getLength(v); i++) items.add(java.lang.reflect.Array.get(v, i));
            return "array:" + list(items);
        }
        return v.getClass().getName() + ":" + v;
    }

    static byte[] bytes(long value, int n) {
        byte[] out = new byte[n];
        for (int i = 0; i < n; i++) out[i] = (byte) (value >>> 8 * (n - 1 - i));
        return out;
    }

    /** An amqp-value of the given object. */
    static ObjectMessage typed(String name, Object value) throws JMSException {
        ObjectMessage message = session.createObjectMessage();
        message.setBooleanProperty("JMS_AMQP_TYPED_ENCODING", true);
        message.setObject((Serializable) value);
        message.setJMSType(name);
        return message;
    }

    static List<Message> matrix() throws Exception {
        List<Message> out = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(ARGS.get("cases")))) {
            String[] parts = line.split("\t", 3);
            // Scalars travel as properties: JMS has no message with a scalar body other than a text.
            Object value = parse(parts[1], parts[2]);
            if (value == null) continue;
            Message message = session.createTextMessage(parts[1].equals("string") ? parts[2] : "jms");
            message.setJMSType(parts[0]);
            message.setObjectProperty("v", value);
            out.add(message);
        }
        out.add(typed("list-empty", new ArrayList<>()));
        LinkedHashMap<String, Object> map = new LinkedHashMap<>();
        map.put("k", 1);
        map.put("n", new ArrayList<>(List.of(2)));
        out.add(typed("map", map));
        BytesMessage data = session.createBytesMessage();
        data.writeBytes(new byte[] {0, 1, (byte) 255});
        data.setJMSType("data");
        out.add(data);
        StreamMessage sequence = session.createStreamMessage();
        sequence.writeInt(1);
        sequence.writeString("a");
        sequence.setJMSType("sequence");
        out.add(sequence);
        return out;
    }

    static Map<String, Object> describe(Message message) throws Exception {
        Map<String, Object> line = new LinkedHashMap<>();
        String name = message.getJMSType();
        line.put("name", name);
        if (name.equals("properties")) {
            Map<String, String> p = new LinkedHashMap<>();
            p.put("durable", String.valueOf(message.getJMSDeliveryMode() == DeliveryMode.PERSISTENT));
            p.put("priority", String.valueOf(message.getJMSPriority()));
            p.put("message-id", message.getJMSMessageID().replace("ID:AMQP_ULONG:", "ulong:"));
            p.put("user-id", message.getStringProperty("JMSXUserID"));
            p.put("correlation-id", "string:" + message.getJMSCorrelationID());
            p.put("reply-to", ((Queue) message.getJMSReplyTo()).getQueueName());
            p.put("to", ((Queue) message.getJMSDestination()).getQueueName());
            p.put("expiry", String.valueOf(message.getJMSExpiration()));
            p.put("creation", String.valueOf(message.getJMSTimestamp()));
            p.put("group-id", message.getStringProperty("JMSXGroupID"));
            p.put("group-sequence", String.valueOf(message.getIntProperty("JMSXGroupSeq")));
            p.put("b", canonical(message.getObjectProperty("b")));
            p.put("s", canonical(message.getObjectProperty("s")));
            line.put("properties", p);
            return line;
        }
        line.put("body", body(message, name));
        if (message.propertyExists("v")) line.put("prop", canonical(message.getObjectProperty("v")));
        return line;
    }

    static String body(Message message, String name) throws Exception {
        if (message instanceof TextMessage text) return canonical(text.getText());
        if (message instanceof BytesMessage bytes) {
            byte[] all = new byte[(int) bytes.getBodyLength()];
            bytes.readBytes(all);
            return (name.equals("data") ? "data:" : "binary:") + HexFormat.of().formatHex(all);
        }
        if (message instanceof StreamMessage stream) {
            List<Object> items = new ArrayList<>();
            try {
                while (true) items.add(stream.readObject());
            } catch (jakarta.jms.MessageEOFException end) {
                return (name.equals("sequence") ? "sequence:" : "list:") + list(items);
            }
        }
        if (message instanceof MapMessage map) {
            Map<String, Object> all = new LinkedHashMap<>();
            for (Object key : Collections.list(map.getMapNames())) all.put((String) key, map.getObject((String) key));
            return canonical(all);
        }
        if (message instanceof ObjectMessage object) {
            String text = canonical(object.getObject());
            // Qpid JMS shows a sequence section as an object message with a list.
            return name.equals("sequence") ? text.replaceFirst("list:", "sequence:") : text;
        }
        return "null:";
    }

    // --- commands ---------------------------------------------------------------------------------------------

    static Queue address() throws JMSException {
        return session.createQueue(ARGS.get("address"));
    }

    static MessageConsumer consumer() throws JMSException {
        MessageConsumer consumer = session.createConsumer(address());
        connection.start();
        say("ready", true);
        return consumer;
    }

    static String text(int i) {
        StringBuilder out = new StringBuilder("m-" + i);
        while (out.length() < size) out.append(".".repeat(Math.min(1 << 16, size - out.length())));
        return out.toString();
    }

    /** How a send ended: JMS has only exceptions with texts for it. */
    static String outcome(JMSException error) {
        if (error == null) return "accepted";
        String text = String.valueOf(error.getMessage());
        if (text.contains("released by receiver")) return "released";
        if (text.contains("failure at remote")) return "modified";
        int at = text.indexOf(" [condition = ");
        return at < 0 ? "rejected" : "rejected:" + text.substring(at + 14, text.length() - 1) + ":"
            + text.substring(0, at);
    }

    static void send() throws Exception {
        String[] to = ARGS.containsKey("to") ? ARGS.get("to").split(",") : null;
        MessageProducer producer = session.createProducer(to == null ? address() : null);
        producer.setDeliveryMode(ARGS.containsKey("settled") ? DeliveryMode.NON_PERSISTENT : DeliveryMode.PERSISTENT);
        Map<String, Integer> seen = new LinkedHashMap<>();
        for (String name : List.of("accepted", "rejected", "released", "modified")) seen.put(name, 0);
        java.util.concurrent.CountDownLatch left = new java.util.concurrent.CountDownLatch(count);
        CompletionListener listener = new CompletionListener() {
            @Override public void onCompletion(Message message) {
                done(null);
            }

            @Override public void onException(Message message, Exception error) {
                done((JMSException) error);
            }

            private void done(JMSException error) {
                synchronized (seen) {
                    seen.merge(outcome(error).split(":")[0], 1, Integer::sum);
                }
                left.countDown();
            }
        };
        for (int i = 0; i < count; i++) {
            TextMessage message = session.createTextMessage(text(i));
            if (to == null) producer.send(message, listener);
            else producer.send(session.createQueue(to[i % to.length]), message, listener);
        }
        left.await();
        say("sent", count, "accepted", seen.get("accepted"), "rejected", seen.get("rejected"), "released",
            seen.get("released"), "modified", seen.get("modified"));
    }

    static void recv() throws Exception {
        MessageConsumer consumer = consumer();
        boolean ordered = true;
        long bytes = 0;
        for (int i = 0; i < count; i++) {
            String text = ((TextMessage) consumer.receive()).getText();
            int dot = text.indexOf('.');
            ordered &= (dot < 0 ? text : text.substring(0, dot)).equals("m-" + i);
            bytes += text.length();
        }
        say("received", count, "ordered", ordered, "bytes", bytes);
    }

    static void request() throws Exception {
        MessageProducer producer = session.createProducer(address());
        Queue replyTo = session.createTemporaryQueue();
        MessageConsumer consumer = session.createConsumer(replyTo);
        connection.start();
        for (int i = 0; i < count; i++) {
            TextMessage message = session.createTextMessage("q-" + i);
            message.setJMSReplyTo(replyTo);
            message.setJMSCorrelationID("ID:AMQP_ULONG:" + i);
            producer.send(message);
            TextMessage reply = (TextMessage) consumer.receive();
            if (!reply.getText().equals("q-" + i + "!")
                || !reply.getJMSCorrelationID().equals("ID:AMQP_ULONG:" + i)) {
                throw new JMSException("reply " + reply.getText() + " to " + reply.getJMSCorrelationID());
            }
        }
        say("replies", count, "reply_to", replyTo.getQueueName());
    }

    static void respond() throws Exception {
        MessageProducer producer = session.createProducer(null);
        MessageConsumer consumer = consumer();
        for (int i = 0; i < count; i++) {
            TextMessage request = (TextMessage) consumer.receive();
            TextMessage reply = session.createTextMessage(request.getText() + "!");
            reply.setJMSCorrelationID(request.getJMSCorrelationID());
            producer.send(request.getJMSReplyTo(), reply);
        }
        say("answered", count);
    }

    static void outcomesSend() throws Exception {
        MessageProducer producer = session.createProducer(address());
        Map<String, String> seen = new LinkedHashMap<>();
        for (String name : OUTCOMES) {
            try {
                producer.send(session.createTextMessage(name));
                seen.put(name, "accepted");
            } catch (JMSException error) {
                seen.put(name, outcome(error));
            }
        }
        say("outcomes", seen);
    }

    static void outcomesRecv() throws Exception {
        MessageConsumer consumer = consumer();
        for (int i = 0; i < OUTCOMES.size(); i++) {
            Message message = consumer.receive();
            // org.apache.qpid.jms.message.JmsMessageSupport
            int kind = switch (((TextMessage) message).getText()) {
                case "accept" -> 1;
                case "reject" -> 2;
                case "release" -> 3;
                default -> 5;
            };
            message.setIntProperty("JMS_AMQP_ACK_TYPE", kind);
            message.acknowledge();
        }
        say("handled", OUTCOMES.size());
    }

    static void typesSend() throws Exception {
        MessageProducer producer = session.createProducer(address());
        List<String> skip = List.of(ARGS.getOrDefault("skip", "").split(","));
        for (Message message : matrix()) {
            if (skip.contains(message.getJMSType())) continue;
            say("sent", message.getJMSType());
            producer.send(message);
        }
        say("done", true);
    }

    static void typesRecv() throws Exception {
        MessageConsumer consumer = consumer();
        for (int i = 0; i < count; i++) {
            Message message = consumer.receive();
            try {
                OUT.println(json(describe(message)));
            } catch (JMSException error) {
                // Not a type of JMS.
                say("name", message.getJMSType(), "unreadable", error.getMessage());
            }
        }
        say("done", true);
    }

    /** With no prefetch, a receive that times out drains the link. */
    static void drain() throws Exception {
        MessageConsumer consumer = consumer();
        int received = 0;
        int drains = 0;
        while (received < count) {
            if (consumer.receiveNoWait() == null) drains++;
            else received++;
        }
        while (consumer.receiveNoWait() != null) received++;
        say("received", received, "drains", drains + 1);
    }

    public static void main(String[] args) throws Exception {
        for (int i = 1; i < args.length; i++) {
            int at = args[i].indexOf('=');
            ARGS.put(args[i].substring(0, at), args[i].substring(at + 1));
        }
        String command = args[0];
        count = Integer.parseInt(ARGS.getOrDefault("count", "1"));
        size = Integer.parseInt(ARGS.getOrDefault("size", "0"));
        StringBuilder url = new StringBuilder(ARGS.containsKey("tls") ? "amqps://" : "amqp://")
            .append(ARGS.getOrDefault("host", "127.0.0.1")).append(":").append(ARGS.get("port"))
            .append("?jms.prefetchPolicy.all=").append(command.equals("drain") ? 0 : 100)
            .append("&jms.validatePropertyNames=false&amqp.traceFrames=false")
            // Qpid JMS 2.10 flushes before it writes the buffer that passes this many bytes, and never flushes that
            // buffer when it is the last: the end of a large message then stays in the client. Flush once, at the end.
            .append("&amqp.maxWriteBytesBeforeFlush=").append(Integer.MAX_VALUE);
        if (ARGS.containsKey("user")) url.append("&amqp.saslMechanisms=").append(ARGS.get("mechanism"));
        else if (!ARGS.containsKey("cert")) url.append("&amqp.saslMechanisms=ANONYMOUS");
        if (ARGS.containsKey("settled")) url.append("&jms.presettlePolicy.presettleProducers=true");
        if (ARGS.containsKey("tls")) {
            url.append("&transport.trustStoreLocation=").append(ARGS.get("truststore"))
                .append("&transport.trustStorePassword=password&transport.storeType=PKCS12");
        }
        if (ARGS.containsKey("cert")) {
            url.append("&amqp.saslMechanisms=EXTERNAL&transport.keyStoreLocation=").append(ARGS.get("keystore"))
                .append("&transport.keyStorePassword=password");
        }
        try {
            JmsConnectionFactory factory = new JmsConnectionFactory(url.toString());
            connection = ARGS.containsKey("user")
                ? factory.createConnection(ARGS.get("user"), ARGS.get("password")) : factory.createConnection();
            boolean individual = command.equals("outcomes-recv");
            session = connection.createSession(false, individual ? 101 : Session.AUTO_ACKNOWLEDGE);
            switch (command) {
                case "send" -> send();
                case "recv" -> recv();
                case "request" -> request();
                case "respond" -> respond();
                case "outcomes-send" -> outcomesSend();
                case "outcomes-recv" -> outcomesRecv();
                case "types-send" -> typesSend();
                case "types-recv" -> typesRecv();
                case "drain" -> drain();
                default -> throw new IllegalArgumentException(command);
            }
            connection.close();
        } catch (Exception error) {
            say("error", error.toString());
            System.exit(1);
        }
        System.exit(0);
    }
}

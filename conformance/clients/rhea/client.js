'use strict';
// Conformance client on rhea. See ../README.md for commands and output.

const fs = require('fs');
const rhea = require('rhea');

const { types, message } = rhea;
const ARGS = Object.fromEntries(process.argv.slice(3).map((arg) => {
  const at = arg.indexOf('=');
  return [arg.slice(0, at), arg.slice(at + 1)];
}));
const COUNT = Number(ARGS.count ?? 1);
const SIZE = Number(ARGS.size ?? 0);
const ADDRESS = ARGS.address;
const properties = Object.entries(ARGS).filter(([key]) => key.startsWith('prop:'));
const PROPERTIES = properties.length ? Object.fromEntries(properties.map(([key, value]) => [key.slice(5), value])) : undefined;

const say = (line) => fs.writeSync(1, JSON.stringify(line) + '\n');

// Messages are decoded without the types of their values: keep the bytes, for types-recv.
const decode = message.decode;
message.decode = (buffer) => Object.assign(decode(buffer), { raw: buffer });

// --- values -------------------------------------------------------------------------------------------------------

const hex = (text) => Buffer.from(text, 'hex');
const wide = (text) => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt.asUintN(64, BigInt(text)));
  return out;
};
const doubleBits = (n) => {
  const out = Buffer.alloc(8);
  out.writeDoubleBE(n);
  return out.toString('hex');
};

const PARSERS = {
  null: () => types.wrap(null),
  boolean: (text) => types.wrap_boolean(text === 'true'),
  ubyte: (text) => types.wrap_ubyte(Number(text)),
  ushort: (text) => types.wrap_ushort(Number(text)),
  uint: (text) => types.wrap_uint(Number(text)),
  ulong: (text) => types.wrap_ulong(wide(text)),
  byte: (text) => types.wrap_byte(Number(text)),
  short: (text) => types.wrap_short(Number(text)),
  int: (text) => types.wrap_int(Number(text)),
  long: (text) => types.wrap_long(wide(text)),
  float: (text) => types.wrap_float(hex(text).readDoubleBE()),
  double: (text) => types.wrap_double(hex(text).readDoubleBE()),
  decimal32: (text) => new types.Decimal32(hex(text)),
  decimal64: (text) => new types.Decimal64(hex(text)),
  decimal128: (text) => new types.Decimal128(hex(text)),
  char: (text) => types.wrap_char(parseInt(text, 16)),
  timestamp: (text) => types.wrap_timestamp(Number(text)),
  uuid: (text) => types.wrap_uuid(hex(text.replace(/-/g, ''))),
  binary: (text) => types.wrap_binary(hex(text)),
  string: (text) => types.wrap_string(text),
  symbol: (text) => types.wrap_symbol(text),
};

// rhea cannot send a described value as a body: its descriptor would replace the section's.
const STRUCTURED = {
  'list-empty': () => types.wrap_list([]),
  list: () => types.wrap_list([types.wrap_int(1), 'a', true, types.wrap_list([types.wrap_ulong(2)])]),
  map: () => types.wrap_map({ k: types.wrap_int(1), n: types.wrap_list([types.wrap_int(2)]) }),
  'array-int': () => types.wrap_array([1, 2, 3], 0x71),
  'array-symbol': () => types.wrap_array(['a', 'bc'], 0xa3),
};

const NAMES = {
  Null: 'null', Boolean: 'boolean', True: 'boolean', False: 'boolean', Ubyte: 'ubyte', Ushort: 'ushort', Uint: 'uint',
  SmallUint: 'uint', Uint0: 'uint', Ulong: 'ulong', SmallUlong: 'ulong', Ulong0: 'ulong', Byte: 'byte', Short: 'short',
  Int: 'int', SmallInt: 'int', Long: 'long', SmallLong: 'long', Float: 'float', Double: 'double',
  Decimal32: 'decimal32', Decimal64: 'decimal64', Decimal128: 'decimal128', CharUTF32: 'char', Timestamp: 'timestamp',
  Uuid: 'uuid', Vbin8: 'binary', Vbin32: 'binary', Str8: 'string', Str32: 'string', Sym8: 'symbol', Sym32: 'symbol',
  List0: 'list', List8: 'list', List32: 'list', Map8: 'map', Map32: 'map', Array8: 'array', Array32: 'array',
};

/** `type:text`, the same text in every client. */
function canonical(typed) {
  if (typed.descriptor !== undefined && typed.descriptor !== null) {
    const { descriptor, ...rest } = typed;
    return `described:${canonical(descriptor)}|${canonical(rest)}`;
  }
  const name = NAMES[typed.type.name];
  const value = typed.value;
  switch (name) {
    case 'null': return 'null:';
    case 'boolean': return `boolean:${Boolean(value)}`;
    case 'ulong': case 'long':
      if (Buffer.isBuffer(value)) return `${name}:${name === 'long' ? value.readBigInt64BE() : value.readBigUInt64BE()}`;
      return `${name}:${value}`;
    case 'timestamp': return `timestamp:${Number(value)}`;
    case 'float': case 'double': return `${name}:${doubleBits(value)}`;
    case 'char': return `char:${(typeof value === 'string' ? value.codePointAt(0) : value).toString(16)}`;
    case 'uuid': return `uuid:${value.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')}`;
    case 'decimal32': case 'decimal64': case 'decimal128': case 'binary': return `${name}:${value.toString('hex')}`;
    case 'list': return `list:[${value.map(canonical).join(',')}]`;
    case 'array': {
      const item = types.by_code[typed.array_constructor.typecode];
      return `array:[${value.map((v) => canonical(v && v.type ? v : { type: item, value: v })).join(',')}]`;
    }
    case 'map': {
      const items = value.map(canonical);
      const pairs = [];
      for (let i = 0; i < items.length; i += 2) pairs.push(`${items[i]}=${items[i + 1]}`);
      return `map:{${pairs.sort().join(',')}}`;
    }
    default: return `${name}:${value}`;
  }
}

function matrix() {
  const out = [];
  for (const line of fs.readFileSync(ARGS.cases, 'utf8').split('\n')) {
    if (line === '') continue;
    const [name, kind, text] = line.split('\t');
    const value = () => PARSERS[kind](text);
    out.push({
      subject: name, body: value(), application_properties: { v: value() }, message_annotations: { 'x-opt-v': value() },
    });
  }
  for (const [name, value] of Object.entries(STRUCTURED)) {
    out.push({ subject: name, body: value(), message_annotations: { 'x-opt-v': value() } });
  }
  out.push({ subject: 'data', body: message.data_section(hex('0001ff')) });
  out.push({ subject: 'sequence', body: message.sequence_section([types.wrap_int(1), 'a']) });
  out.push({
    subject: 'properties', body: 'p', durable: true, priority: 7, ttl: 3600000, message_id: 77, user_id: 'user',
    to: 'to-field', reply_to: 'reply-field', correlation_id: 'corr', content_type: 'text/plain',
    content_encoding: 'identity', absolute_expiry_time: 4102444800000, creation_time: 1700000000000,
    group_id: 'group', group_sequence: 5, reply_to_group_id: 'reply-group',
    application_properties: { b: true, s: 'text' },
  });
  return out;
}

function sections(raw) {
  const reader = new types.Reader(raw);
  const out = {};
  while (reader.remaining()) {
    const section = reader.read();
    out[Number(section.descriptor.value)] = section;
  }
  return out;
}

function entry(section, key) {
  const items = section ? section.value : [];
  for (let i = 0; i < items.length; i += 2) if (String(items[i].value) === key) return canonical(items[i + 1]);
  return undefined;
}

function describe(msg) {
  const all = sections(msg.raw);
  const name = msg.subject;
  if (name === 'properties') {
    return {
      name,
      properties: {
        durable: String(msg.durable), priority: String(msg.priority), ttl: String(msg.ttl),
        'message-id': canonical(all[0x73].value[0]), 'user-id': String(msg.user_id), to: msg.to,
        'reply-to': msg.reply_to, 'correlation-id': canonical(all[0x73].value[5]), 'content-type': msg.content_type,
        'content-encoding': msg.content_encoding, expiry: String(Number(msg.absolute_expiry_time)),
        creation: String(Number(msg.creation_time)), 'group-id': msg.group_id,
        'group-sequence': String(msg.group_sequence), 'reply-to-group-id': msg.reply_to_group_id,
        b: entry(all[0x74], 'b'), s: entry(all[0x74], 's'),
      },
    };
  }
  const strip = (section, kind) => {
    const { descriptor, ...rest } = section;
    return canonical(rest).replace(/^[a-z]+:/, `${kind}:`);
  };
  let body;
  if (all[0x75]) body = strip(all[0x75], 'data');
  else if (all[0x76]) body = strip(all[0x76], 'sequence');
  else {
    body = canonical(bodyValue(msg.raw));
  }
  return { name, body, prop: entry(all[0x74], 'v'), ann: entry(all[0x72], 'x-opt-v') };
}

/** The value in the last section: read after its descriptor, since the reader keeps one descriptor only. */
function bodyValue(raw) {
  // 0x00 0x53 0x77 opens the section of a value (AMQP 1.0 §3.2.8); it is the last one of these messages.
  const at = raw.lastIndexOf(hex('005377'));
  if (at < 0) return types.wrap(null);
  return new types.Reader(raw.subarray(at + 3)).read();
}

// --- commands -----------------------------------------------------------------------------------------------------

const container = rhea.create_container();
let connection;

function options() {
  const out = { host: ARGS.host ?? '127.0.0.1', port: Number(ARGS.port), reconnect: false };
  if (ARGS.tls) {
    out.transport = 'tls';
    out.ca = [fs.readFileSync(ARGS.ca)];
    out.rejectUnauthorized = true;
    if (ARGS.cert) {
      out.cert = fs.readFileSync(ARGS.cert);
      out.key = fs.readFileSync(ARGS.key);
      out.enable_sasl_external = true;
    }
  }
  if (ARGS.ws) {
    // Over WebSocket, with these subprotocols; in pieces of so many bytes if asked for.
    const socket = require('ws');
    const url = `${ARGS.tls ? 'wss' : 'ws'}://${out.host}:${out.port}/`;
    const connect = container.websocket_connect(ARGS.pieces ? inPieces(socket, Number(ARGS.pieces)) : socket);
    const details = connect(url, ARGS.ws.split(','), { ca: out.ca, cert: out.cert, key: out.key });
    // rhea offers EXTERNAL on sockets that it knows to be encrypted.
    out.connection_details = () => {
      const wrapped = details();
      return { ...wrapped, connect: (...args) => Object.assign(wrapped.connect(...args), { encrypted: Boolean(ARGS.tls) }) };
    };
    delete out.transport;
  }
  return out;
}

/** Sends each message in fragments, with a ping between them. */
function inPieces(socket, size) {
  return class extends socket {
    send(data) {
      for (let at = 0; at < data.length; at += size) {
        super.send(data.subarray(at, at + size), { binary: true, fin: at + size >= data.length });
        if (at === 0) this.ping('still there');
      }
    }
  };
}

function fail(text) {
  say({ error: text });
  process.exit(1);
}

function done(line) {
  say(line);
  connection.close();
}

for (const name of ['connection_error', 'session_error', 'sender_error', 'receiver_error', 'disconnected']) {
  container.on(name, (context) => {
    const from = context.receiver ?? context.sender ?? context.session ?? context.connection;
    fail(`${name}: ${from?.error ?? context.error ?? ''}`);
  });
}

const OUTCOMES = ['accept', 'reject', 'release', 'modify'];

const COMMANDS = {
  send() {
    const to = ARGS.to?.split(',');
    const sender = connection.open_sender({
      target: to ? {} : { address: ADDRESS }, snd_settle_mode: ARGS.settled ? 1 : 0,
    });
    const seen = { accepted: 0, rejected: 0, released: 0, modified: 0 };
    let sent = 0;
    let settled = 0;
    sender.on('sendable', () => {
      while (sender.sendable() && sent < COUNT) {
        const msg = { body: `m-${sent}`.padEnd(SIZE, '.'), application_properties: PROPERTIES };
        if (to) msg.to = to[sent % to.length];
        sender.send(msg);
        sent += 1;
        if (ARGS.settled && sent === COUNT) {
          // A close would overtake what waits for the session's window.
          const { outgoing } = sender.session;
          const timer = setInterval(() => {
            if (outgoing.next_pending_delivery < outgoing.next_delivery_id) return;
            clearInterval(timer);
            done({ sent });
          }, 5);
        }
      }
    });
    const count = (name) => () => {
      seen[name] += 1;
      settled += 1;
      if (settled === COUNT && !ARGS.settled) done({ sent, ...seen });
    };
    for (const name of Object.keys(seen)) sender.on(name, count(name));
  },

  recv() {
    const receiver = connection.open_receiver({ source: ADDRESS, credit_window: 100, autoaccept: false });
    let received = 0;
    let bytes = 0;
    let ordered = true;
    receiver.on('receiver_open', () => say({ ready: true }));
    receiver.on('message', (context) => {
      if (received === COUNT) return;
      const text = context.message.body;
      ordered = ordered && text.split('.')[0] === `m-${received}`;
      bytes += text.length;
      received += 1;
      const { application_properties: seen } = context.message;
      if (seen) say({ properties: seen });
      context.delivery.accept();
      if (received === COUNT) done({ received, ordered, bytes });
    });
  },

  request() {
    const sender = connection.open_sender(ADDRESS);
    const receiver = connection.open_receiver({ source: { dynamic: true } });
    let replies = 0;
    const request = () => {
      sender.send({ body: `q-${replies}`, reply_to: receiver.source.address, correlation_id: replies });
    };
    receiver.on('receiver_open', request);
    receiver.on('message', (context) => {
      const { body, correlation_id: id } = context.message;
      if (body !== `q-${replies}!` || Number(id) !== replies) fail(`reply ${body} to ${id}`);
      replies += 1;
      if (replies === COUNT) done({ replies, reply_to: receiver.source.address });
      else request();
    });
  },

  respond() {
    const sender = connection.open_sender({ target: {} });
    const receiver = connection.open_receiver({ source: ADDRESS });
    let settled = 0;
    receiver.on('receiver_open', () => say({ ready: true }));
    receiver.on('message', ({ message: request }) => {
      sender.send({ to: request.reply_to, correlation_id: request.correlation_id, body: `${request.body}!` });
    });
    sender.on('accepted', () => {
      settled += 1;
      if (settled === COUNT) done({ answered: settled });
    });
  },

  'outcomes-send'() {
    const sender = connection.open_sender(ADDRESS);
    const names = new Map();
    const outcomes = {};
    sender.on('sendable', () => {
      while (sender.sendable() && names.size < OUTCOMES.length) {
        const name = OUTCOMES[names.size];
        names.set(sender.send({ body: name }), name);
      }
    });
    const seen = (text) => (context) => {
      outcomes[names.get(context.delivery)] = text(context.delivery.remote_state);
      if (Object.keys(outcomes).length === OUTCOMES.length) done({ outcomes });
    };
    sender.on('accepted', seen(() => 'accepted'));
    sender.on('released', seen(() => 'released'));
    sender.on('rejected', seen(({ error }) => (error ? `rejected:${error.condition}:${error.description}` : 'rejected')));
    sender.on('modified', seen((state) => `modified:failed=${Boolean(state.delivery_failed)}:`
      + `undeliverable=${Boolean(state.undeliverable_here)}`));
  },

  'outcomes-recv'() {
    const receiver = connection.open_receiver({ source: ADDRESS, autoaccept: false });
    let handled = 0;
    receiver.on('receiver_open', () => say({ ready: true }));
    const handle = (body, delivery) => {
      if (body === 'accept') delivery.accept();
      else if (body === 'reject') delivery.reject({ condition: 'test:rejected', description: 'as told' });
      else if (body === 'release') delivery.release();
      else delivery.modified({ delivery_failed: true, undeliverable_here: true });
      handled += 1;
      if (handled === OUTCOMES.length) done({ handled });
    };
    // Each outcome in its own turn: rhea 3.0.5 merges an accept with the reject that follows it in the same one.
    receiver.on('message', ({ message: { body }, delivery }) => {
      setTimeout(handle, 20 * OUTCOMES.indexOf(body), body, delivery);
    });
  },

  'types-send'() {
    const sender = connection.open_sender(ADDRESS);
    const skip = (ARGS.skip ?? '').split(',');
    const messages = matrix().filter((msg) => !skip.includes(msg.subject));
    let sent = 0;
    let settled = 0;
    sender.on('sendable', () => {
      for (; sender.sendable() && sent < messages.length; sent += 1) {
        say({ sent: messages[sent].subject });
        sender.send(messages[sent]);
      }
    });
    sender.on('accepted', () => {
      settled += 1;
      if (settled === messages.length) done({ done: true });
    });
  },

  'types-recv'() {
    const receiver = connection.open_receiver({ source: ADDRESS });
    let received = 0;
    receiver.on('receiver_open', () => say({ ready: true }));
    receiver.on('message', (context) => {
      say(describe(context.message));
      received += 1;
      if (received === COUNT) done({ done: true });
    });
  },

  drain() {
    const receiver = connection.open_receiver({ source: ADDRESS, credit_window: 0 });
    let received = 0;
    let drains = 0;
    let last = false;
    const drain = () => {
      receiver.drain = true;
      receiver.add_credit(10);
    };
    receiver.on('receiver_open', () => {
      say({ ready: true });
      drain();
    });
    receiver.on('message', () => { received += 1; });
    receiver.on('receiver_drained', () => {
      drains += 1;
      if (last) {
        done({ received, drains });
      } else {
        last = received >= COUNT;
        drain();
      }
    });
  },
};

connection = container.connect(options());
connection.on('connection_open', () => COMMANDS[process.argv[2]]());
container.on('connection_close', () => process.exit(0));

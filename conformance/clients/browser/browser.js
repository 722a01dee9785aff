'use strict';
// Drives Debian's Chromium over its DevTools protocol. `browser.js COMMAND key=value ...`; prints one JSON object.

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const WebSocket = require('ws');

const ARGS = Object.fromEntries(process.argv.slice(3).map((arg) => {
  const at = arg.indexOf('=');
  return [arg.slice(0, at), arg.slice(at + 1)];
}));
const PATIENCE = 60000;

const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'spanway-browser-'));
let chromium = null;

function fail(error) {
  fs.writeSync(1, `${JSON.stringify({ error: String(error.stack ?? error) })}\n`);
  end(1);
}

function end(code) {
  const clean = () => {
    try { fs.rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }); } catch { /* Its children may still write. */ }
    process.exit(code);
  };
  if (!chromium || chromium.exitCode !== null) clean();
  chromium.removeAllListeners('exit').on('exit', clean);
  chromium.kill('SIGKILL');
}

/** Starts the browser; the address of its DevTools. */
function start() {
  chromium = spawn('chromium', ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions', '--mute-audio',
    `--user-data-dir=${profile}`, '--remote-debugging-port=0', 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
  chromium.on('error', fail);
  return new Promise((resolve, reject) => {
    let text = '';
    chromium.stderr.on('data', (data) => {
      text += data;
      const found = /DevTools listening on (ws:\S+)/.exec(text);
      if (found) resolve(found[1]);
    });
    chromium.on('exit', () => reject(new Error(`the browser ended:\n${text}`)));
  });
}

/** A page, and what it did. */
class Page {
  static async open(address) {
    const socket = new WebSocket(address, { perMessageDeflate: false });
    await new Promise((resolve, reject) => { socket.on('open', resolve); socket.on('error', reject); });
    const page = new Page(socket);
    const { targetId } = await page.send('Target.createTarget', { url: 'about:blank' });
    page.session = (await page.send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.send(`${domain}.enable`);
    return page;
  }

  constructor(socket) {
    Object.assign(this, { socket, next: 1, waiting: new Map(), session: undefined, errors: [], requests: new Set() });
    socket.on('message', (text) => this.heard(JSON.parse(text)));
  }

  heard({ id, result, error, method, params }) {
    if (id) {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error.message)); else resolve(result);
    } else if (method === 'Runtime.exceptionThrown') {
      this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    } else if (method === 'Runtime.consoleAPICalled' && ['error', 'warning', 'assert'].includes(params.type)) {
      this.errors.push(params.args.map((arg) => arg.value ?? arg.description).join(' '));
    } else if (method === 'Log.entryAdded' && params.entry.level === 'error') {
      this.errors.push(`${params.entry.text} ${params.entry.url ?? ''}`);
    } else if (method === 'Network.requestWillBeSent') {
      this.requests.add(params.request.url);
    }
  }

  send(method, params = {}) {
    const id = this.next;
    this.next += 1;
    this.socket.send(JSON.stringify({ id, method, params, sessionId: this.session }));
    return new Promise((resolve, reject) => { this.waiting.set(id, { resolve, reject }); });
  }

  async ask(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async until(what, expression) {
    const limit = Date.now() + PATIENCE;
    while (!await this.ask(expression)) {
      if (Date.now() > limit) throw new Error(`${what}: waited in vain\n${await this.ask('document.body.innerText')}\n${this.errors}`);
      await new Promise((done) => { setTimeout(done, 50); });
    }
  }

  async key(key, text) {
    await this.send('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', key, text, windowsVirtualKeyCode: { Tab: 9, Enter: 13, Escape: 27 }[key] });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key, windowsVirtualKeyCode: { Tab: 9, Enter: 13, Escape: 27 }[key] });
  }

  theme(scheme) {
    return this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  size(width, height) {
    return this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  }

  async shot(name) {
    if (!ARGS.shots) return;
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
    fs.writeFileSync(path.join(ARGS.shots, `${name}.png`), Buffer.from(data, 'base64'));
  }
}

const COMMANDS = {
  /** The console at `url`, once it shows `routers` routers and rates. */
  async console(page) {
    const out = {};
    await page.size(1440, 1000);
    await page.theme('light');
    await page.send('Page.navigate', { url: ARGS.url });
    await page.until('the routers', `document.querySelectorAll('[data-router]').length === ${Number(ARGS.routers)}`);
    await page.until('rates', `[...document.querySelectorAll('.rate')].some((label) => label.textContent)`);
    const colours = `(() => { const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]; })()`;
    out.light = await page.ask(colours);
    await page.shot('light');
    await page.theme('dark');
    out.dark = await page.ask(colours);
    await page.shot('dark');
    await page.theme('light');
    const texts = (selector) => page.ask(`[...document.querySelectorAll(${JSON.stringify(selector)})].map((found) => found.textContent)`);
    out.nodes = await page.ask(`[...document.querySelectorAll('[data-router]')].map((node) => node.dataset.router).sort()`);
    out.links = await page.ask(`[...document.querySelectorAll('[data-link]')].map((link) => link.dataset.link).sort()`);
    out.addresses = await page.ask(`[...document.querySelectorAll('#addresses tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))`);
    out.services = await page.ask(`[...document.querySelectorAll('#services tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))`);
    out.problems = await texts('#details .problem b');
    out.from = (await texts('#from'))[0];
    out.topology = await page.ask(`fetch('topology').then((answer) => answer.json())`);
    // No router over another, nor outside of the picture.
    const overlaps = `(() => {
      const boxes = [...document.querySelectorAll('.node .shape')].map((shape) => shape.getBoundingClientRect());
      const whole = document.getElementById('network').getBoundingClientRect();
      const apart = (a, b) => a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top;
      const pairs = boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => !apart(a, b)));
      return pairs.length + boxes.filter((box) => box.left < whole.left || box.right > whole.right || box.top < whole.top || box.bottom > whole.bottom).length;
    })()`;
    out.overlaps = await page.ask(overlaps);
    // By keyboard alone.
    out.focus = [];
    const active = `(() => { const { id, dataset, tagName } = document.activeElement; return dataset.router ?? dataset.link ?? id ?? tagName; })()`;
    for (let n = 0; n < 60 && !out.focus.includes(ARGS.choose); n += 1) {
      await page.key('Tab');
      out.focus.push(await page.ask(active));
    }
    const visible = `getComputedStyle(document.activeElement.querySelector('.ring')).stroke`;
    out.ring = await page.ask(visible);
    await page.key('Enter', '\r');
    await page.until('the details', `document.querySelector('#details header b')?.textContent === ${JSON.stringify(ARGS.choose)}`);
    out.details = await page.ask(`document.getElementById('details').innerText`);
    await page.shot('details');
    // What is shown anew leaves the focus where it is.
    const shown = page.requests.size;
    await page.until('another look', `performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/topology')).length > 3`);
    out.kept = await page.ask(active);
    await page.key('Escape');
    await page.until('no details', `!document.querySelector('#details header b')`);
    await page.key('/', '/');
    out.filter = await page.ask(active);
    for (const letter of 'zzz') await page.key(letter, letter);
    await page.until('nothing found', `document.querySelector('#addresses .none') !== null`);
    await page.key('Escape');
    // A network of fifty routers fits as well.
    await page.ask(`(() => {
      const routers = Array.from({ length: 50 }, (_, n) => ({ id: 'site-' + n, kind: n < 20 ? 'interior' : 'edge', version: '1', answers: true,
        reachable: n !== 7, uptime_seconds: 5, client_connections: n, tcp_connections: 0, rates: null }));
      const link = (a, b, role) => ({ a: 'site-' + a, b: 'site-' + b, role, cost: 1, state: 'up', connections: 1, tls: true, bytes_in: 1, bytes_out: 1,
        rates: { bytes_in: 10 ** (a % 7), bytes_out: 0, deliveries_in: 1, deliveries_out: 1 } });
      const links = routers.flatMap((_, n) => (n === 0 ? [] : n < 20 ? [link(n >> 1, n, 'inter-router'), ...(n % 4 ? [] : [link(n, (n + 9) % 20, 'inter-router')])]
        : [link(n % 20, n, 'edge')])).filter((one, at, all) => all.findIndex((other) => other.a === one.a && other.b === one.b) === at);
      const problems = [{ severity: 'error', router: 'site-7', about: 'router site-7', text: 'no way leads there' }];
      window.fetch = async () => new Response(JSON.stringify({ format: 1, router: 'site-0', routers, links, addresses: [], addresses_left_out: 0,
        services: [], services_left_out: 0, problems }));
    })()`);
    await page.until('fifty routers', `document.querySelectorAll('[data-router]').length === 50`);
    out.overlaps_of_fifty = await page.ask(overlaps);
    await page.shot('fifty');
    await page.size(420, 900);
    await page.until('no scrolling sideways', `document.documentElement.scrollWidth <= 420`);
    await page.shot('narrow');
    Object.assign(out, { errors: page.errors, requests: [...page.requests], shown });
    return out;
  },

  /** A page at `url` that sets \`window.result\` when it is done. */
  async page(page) {
    await page.send('Page.navigate', { url: ARGS.url });
    await page.until('the result', 'window.result !== undefined');
    return { result: await page.ask('window.result'), errors: page.errors };
  },
};

async function main() {
  const timer = setTimeout(() => fail(new Error('took too long')), 3 * PATIENCE);
  const page = await Page.open(await start());
  const out = await COMMANDS[process.argv[2]](page);
  clearTimeout(timer);
  fs.writeSync(1, `${JSON.stringify(out)}\n`);
  end(0);
}

process.on('SIGTERM', () => end(1));
main().catch(fail);

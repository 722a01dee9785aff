// Asks the router for the network every two seconds, and shows it.

import { draw } from './graph.js';
import { addresses, details, services, tiles } from './tables.js';

const EVERY = 2000;
const LIMIT = 8000;

const $ = (id) => document.getElementById(id);
const history = [];
let network = null;
let chosen = null;
let paused = false;
let seen = null;

function pick(what) {
  chosen = what && what !== chosen ? what : null;
  show();
}

function show() {
  if (!network) return;
  const wanted = $('filter').value.trim().toLowerCase();
  const troubled = new Map(network.problems.map((problem) => [problem.router, 'warning']));
  for (const problem of network.problems) if (problem.severity === 'error') troubled.set(problem.router, 'error');
  $('from').textContent = network.router;
  document.title = network.problems.length ? `(${network.problems.length}) Spanway` : 'Spanway';
  tiles(network, history);
  draw($('network'), network, troubled, chosen, pick);
  details(network, chosen, pick);
  addresses(network, wanted);
  services(network, wanted);
}

function remember() {
  const total = (items, of) => items.reduce((sum, item) => sum + (item.rates ? of(item.rates) : 0), 0);
  history.push({
    deliveries: total(network.addresses, (rates) => rates.deliveries_in),
    bytes: total(network.links, (rates) => rates.bytes_in + rates.bytes_out),
    tcp: network.services.reduce((sum, service) => sum + service.listeners.reduce((open, end) => open + end.open, 0), 0),
  });
  if (history.length > 60) history.shift();
}

function live(text, state) {
  const place = $('live');
  if (place.textContent !== text) place.textContent = text;
  place.className = `live ${state}`;
}

async function look() {
  try {
    const answer = await fetch('topology', { cache: 'no-store', signal: AbortSignal.timeout(LIMIT) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    network = await answer.json();
    seen = new Date();
    remember();
    $('stale').hidden = true;
    live('live', 'on');
    show();
  } catch (error) {
    const since = seen ? `What is shown is from ${seen.toLocaleTimeString()}.` : '';
    $('stale').textContent = `The router does not answer (${error.message}). ${since}`;
    $('stale').hidden = false;
    live('no answer', 'off');
  }
}

async function run() {
  for (;;) {
    if (!paused && !document.hidden) await look();
    await new Promise((done) => { setTimeout(done, EVERY); });
  }
}

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  live(paused ? 'paused' : 'live', paused ? '' : 'on');
});
$('filter').addEventListener('input', show);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    if (document.activeElement === $('filter')) $('filter').value = '';
    chosen = null;
    show();
  } else if (event.key === '/' && !(event.target instanceof HTMLInputElement)) {
    event.preventDefault();
    $('filter').focus();
  }
});
window.addEventListener('resize', show);
run();

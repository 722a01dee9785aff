// The network as a graph. Positions come from forces and are kept: what is new finds its place, and the rest stays where it was.

import { amount, bytes, rate } from './format.js';

const SVG = 'http://www.w3.org/2000/svg';
const MANY = 16;

const places = new Map();
const nodes = new Map();
const wires = new Map();
let box = null;

const name = (link) => `${link.a} ${link.b} ${link.role}`;

/** A number of 0 to 1 that is always the same for a name. */
function fixed(text) {
  let hash = 2166136261;
  for (const c of text) hash = Math.imul(hash ^ c.codePointAt(0), 16777619);
  return ((hash >>> 0) % 10007) / 10007;
}

/** How far a point is from a line between two others. */
function distance(point, a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const along = Math.max(0, Math.min(1, ((point.x - a.x) * dx + (point.y - a.y) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(point.x - a.x - along * dx, point.y - a.y - along * dy);
}

/** What makes a picture hard to read: lines that cross or run over routers, and labels on top of each other. */
function disorder(points, lines) {
  const side = (a, b, c) => (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x) > 0;
  const middles = lines.map(([i, j]) => ({ x: (points[i].x + points[j].x) / 2, y: (points[i].y + points[j].y) / 2 }));
  let sum = 0;
  lines.forEach(([i, j], at) => {
    const [a, b] = [points[i], points[j]];
    for (let other = at + 1; other < lines.length; other += 1) {
      const [k, l] = lines[other];
      if (Math.abs(middles[at].x - middles[other].x) < 70 && Math.abs(middles[at].y - middles[other].y) < 24) sum += 2;
      if (i === k || i === l || j === k || j === l) continue;
      const [c, d] = [points[k], points[l]];
      if (side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b)) sum += 3;
    }
    points.forEach((point, n) => {
      if (n === i || n === j) return;
      if (distance(point, a, b) < 40) sum += 4;
      if (Math.hypot(point.x - middles[at].x, point.y - middles[at].y) < 60) sum += 2;
    });
  });
  return sum;
}

/** Lets forces work: points push each other away, springs pull, and everything is drawn to the middle. */
function settle(points, springs, spread, wide) {
  const rounds = 400;
  for (let round = 0; round < rounds; round += 1) {
    const heat = 14 * (1 - round / rounds) + 0.2;
    const moves = points.map((p) => [-p.x * 0.008 / wide, -p.y * 0.012 * wide]);
    for (let i = 0; i < points.length; i += 1) {
      for (let j = i + 1; j < points.length; j += 1) {
        let dx = points[i].x - points[j].x;
        const dy = points[i].y - points[j].y;
        if (!dx && !dy) dx = 0.1;
        const push = 9000 * spread * spread / (dx * dx + dy * dy + 40);
        const far = Math.hypot(dx, dy);
        moves[i][0] += push * dx / far; moves[i][1] += push * dy / far;
        moves[j][0] -= push * dx / far; moves[j][1] -= push * dy / far;
      }
    }
    for (const [i, j, length] of springs) {
      const dx = points[j].x - points[i].x;
      const dy = points[j].y - points[i].y;
      const far = Math.hypot(dx, dy) || 1;
      const pull = 0.09 * (far - length) / far;
      moves[i][0] += pull * dx; moves[i][1] += pull * dy;
      moves[j][0] -= pull * dx; moves[j][1] -= pull * dy;
    }
    points.forEach((point, at) => {
      const [dx, dy] = moves[at];
      const far = Math.hypot(dx, dy) || 1;
      const step = Math.min(far, heat);
      point.x += dx / far * step; point.y += dy / far * step;
    });
  }
}

/** Finds places for routers that have none. Where all are new several beginnings are tried, and the tidiest picture is taken. */
function arrange(routers, links, wide) {
  for (const id of places.keys()) if (!routers.some((router) => router.id === id)) places.delete(id);
  if (routers.every((router) => places.has(router.id))) return;
  const all = routers.map((router) => router.id).sort();
  const index = new Map(all.map((id, at) => [id, at]));
  // A few routers use the room that there is.
  const spread = Math.min(1.7, Math.max(1, Math.sqrt(14 / all.length)));
  const springs = links.map((link) => [index.get(link.a), index.get(link.b), spread * (link.role === 'inter-router' ? 150 : 100)]);
  const tries = places.size ? 1 : all.length <= 20 ? 24 : all.length <= 80 ? 8 : 1;
  let best = null;
  for (let seed = 0; seed < tries; seed += 1) {
    const found = new Map(places);
    const order = seed ? [...all].sort((a, b) => fixed(`${seed} ${a}`) - fixed(`${seed} ${b}`)) : all;
    for (const id of all.filter((other) => !found.has(other))) {
      const at = links.find((link) => (link.b === id && found.has(link.a)) || (link.a === id && found.has(link.b)));
      const near = at && places.size ? found.get(at.a === id ? at.b : at.a) : null;
      const turn = 2 * Math.PI * (near ? fixed(id) : order.indexOf(id) / all.length);
      const far = near ? 90 : 60 + 14 * all.length;
      found.set(id, { x: (near?.x ?? 0) + far * Math.cos(turn), y: (near?.y ?? 0) + far * Math.sin(turn) });
    }
    const points = all.map((id) => ({ ...found.get(id) }));
    settle(points, springs, spread, wide);
    const score = tries > 1 ? disorder(points, springs) : 0;
    if (!best || score < best.score) best = { points, score };
  }
  all.forEach((id, at) => places.set(id, best.points[at]));
}

function fit(svg) {
  const points = [...places.values()];
  const xs = points.map((p) => p.x);
  const ys = points.map((p) => p.y);
  const [left, right, top, bottom] = [Math.min(...xs) - 75, Math.max(...xs) + 75, Math.min(...ys) - 62, Math.max(...ys) + 62];
  const { clientWidth: w, clientHeight: h } = svg;
  // Never larger than life.
  const scale = Math.max((right - left) / (w || 1), (bottom - top) / (h || 1), 0.8);
  const [width, height] = [w * scale, h * scale];
  const shown = `${Math.round((left + right - width) / 2)} ${Math.round((top + bottom - height) / 2)} ${Math.round(width)} ${Math.round(height)}`;
  if (shown !== box) svg.setAttribute('viewBox', box = shown);
}

const make = (tag, attributes, parent) => {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
};

function pickable(group, pick) {
  group.addEventListener('click', pick);
  group.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); pick(); }
  });
}

/** Keeps elements in step with what there is, so that focus stays where it is. */
function sync(known, wanted, create) {
  for (const [key, made] of known) if (!wanted.has(key)) { made.group.remove(); known.delete(key); }
  for (const [key, item] of wanted) if (!known.has(key)) known.set(key, create(item));
}

export const linkText = (link) => {
  if (!link.rates) return '';
  const sum = link.rates.bytes_in + link.rates.bytes_out;
  return sum < 1 ? '' : `${bytes(sum)}/s`;
};

/** Draws. `chosen`: `router ID` or `link NAME`; `pick` is called with such. */
export function draw(svg, network, troubled, chosen, pick) {
  const { routers, links } = network;
  arrange(routers, links, Math.max(1, svg.clientWidth / (svg.clientHeight || 1)) ** 0.5);
  fit(svg);
  const many = routers.length > MANY || links.length > MANY + 6;
  svg.classList.toggle('many', many);
  const groups = ['wires', 'nodes'].map((id) => svg.querySelector(`.${id}`) ?? make('g', { class: id }, svg));
  const order = new Map(links.map((link) => [name(link), link]));
  sync(wires, order, (link) => {
    const group = make('g', { tabindex: 0, role: 'button', 'data-link': name(link) }, groups[0]);
    const made = { group, wire: make('line', {}, group), hit: make('line', { class: 'hit' }, group), back: make('rect', { class: 'back', rx: 6, height: 18 }, group), rate: make('text', { class: 'rate' }, group) };
    pickable(group, () => pick(`link ${name(link)}`));
    return made;
  });
  for (const [key, link] of order) {
    const { group, wire, hit, back, rate: label } = wires.get(key);
    const [a, b] = [places.get(link.a), places.get(link.b)];
    const sum = link.rates ? link.rates.bytes_in + link.rates.bytes_out : 0;
    for (const line of [wire, hit]) {
      for (const [attribute, value] of [['x1', a.x], ['y1', a.y], ['x2', b.x], ['y2', b.y]]) line.setAttribute(attribute, value.toFixed(1));
    }
    // Each factor of ten is as much wider.
    wire.setAttribute('stroke-width', (1.6 + 1.15 * Math.max(0, Math.log10(sum + 1) - 2)).toFixed(1));
    wire.setAttribute('class', `wire${link.state === 'half' ? ' half' : sum > 1000 ? ' busy' : ''}`);
    group.setAttribute('class', `link${chosen === `link ${key}` ? ' on' : ''}`);
    label.setAttribute('x', ((a.x + b.x) / 2).toFixed(1));
    label.setAttribute('y', ((a.y + b.y) / 2 + 4).toFixed(1));
    label.textContent = linkText(link);
    const room = label.textContent && 6.4 * label.textContent.length + 10;
    for (const [attribute, value] of [['x', (a.x + b.x - room) / 2], ['y', (a.y + b.y) / 2 - 9], ['width', room]]) back.setAttribute(attribute, Number(value).toFixed(1));
    const state = link.state === 'half' ? 'only one end knows of it' : linkText(link) || 'idle';
    group.setAttribute('aria-label', `Link ${link.a} to ${link.b}, ${link.role}, cost ${link.cost}, ${state}`);
  }
  const byId = new Map(routers.map((router) => [router.id, router]));
  sync(nodes, byId, (router) => {
    const group = make('g', { tabindex: 0, role: 'button', 'data-router': router.id }, groups[1]);
    const square = router.kind === 'edge';
    const shape = (more, attributes) => (square
      ? make('rect', { x: -11 - more, y: -11 - more, width: 22 + 2 * more, height: 22 + 2 * more, rx: 5 + more / 2, ...attributes }, group)
      : make('circle', { r: 16 + more, ...attributes }, group));
    shape(5, { class: 'ring' });
    shape(0, { class: 'shape' });
    const made = { group, title: make('text', {}, group), sub: make('text', { class: 'sub' }, group), far: square ? 28 : 33 };
    pickable(group, () => pick(`router ${router.id}`));
    return made;
  });
  for (const [id, router] of byId) {
    const { group, title, sub, far } = nodes.get(id);
    const { x, y } = places.get(id);
    // Names stand on the side with fewer links.
    const down = links.reduce((sum, link) => {
      if (link.a !== id && link.b !== id) return sum;
      const other = places.get(link.a === id ? link.b : link.a);
      return sum + (other.y - y) / (Math.hypot(other.x - x, other.y - y) || 1);
    }, 0);
    const above = down > 0.3;
    group.setAttribute('transform', `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    const trouble = router.reachable ? troubled.get(id) : 'error';
    const bad = trouble === 'error';
    group.setAttribute('class', `node ${router.kind}${bad ? ' bad' : trouble ? ' warn' : ''}${router.answers ? '' : ' silent'}${chosen === `router ${id}` ? ' on' : ''}`);
    title.textContent = id.length > 18 ? `${id.slice(0, 17)}…` : id;
    const sum = router.rates ? router.rates.deliveries_in + router.rates.deliveries_out : 0;
    sub.textContent = !router.reachable ? 'unreachable' : sum >= 0.1 ? `${rate(sum)} msg/s` : '';
    const two = sub.textContent && !many;
    title.setAttribute('y', above ? -far + (two ? -6 : 10) : far);
    sub.setAttribute('y', above ? -far + 9 : far + 15);
    const clients = router.client_connections === null ? '' : `, ${amount(router.client_connections)} clients`;
    group.setAttribute('aria-label', `Router ${id}, ${router.kind}${clients}${sub.textContent && `, ${sub.textContent}`}${trouble ? ', has a problem' : ''}`);
  }
}

/** A line of what was, for a tile. */
export function spark(values) {
  const most = Math.max(...values, 1e-9);
  const svg = make('svg', { viewBox: '0 0 59 20', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const start = 60 - values.length;
  const points = values.map((value, at) => `${start + at},${(19 - 17 * value / most).toFixed(1)}`);
  make('polyline', { points: points.join(' ') }, svg);
  return svg;
}

export { name };

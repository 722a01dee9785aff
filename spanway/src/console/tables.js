// Tables, tiles and the details of what was chosen.

import { age, amount, bytes, el, rate } from './format.js';
import { name, spark } from './graph.js';

const MOST = 100;

const chips = (places, kind) => places.map((place) => el('span', { class: `chip ${kind ?? ''}` }, place));
const counted = (places) => places.map((place) => (place.count > 1 ? `${place.router} × ${amount(place.count)}` : place.router));
const cell = (text, kind) => el('td', { class: kind }, text);
const perSecond = (rates, key, format = rate) => (rates ? format(rates[key]) : '–');

function fill(table, count, rows, all, empty) {
  const shown = rows.slice(0, MOST);
  const columns = table.tHead.rows[0].cells.length;
  const body = shown.length ? shown : [el('tr', null, el('td', { class: 'none', colspan: columns }, empty))];
  table.tBodies[0].replaceChildren(...body);
  count.textContent = rows.length > MOST || all !== rows.length ? `${shown.length} of ${amount(all)}` : amount(all);
}

export function addresses(network, wanted) {
  const has = (address) => !wanted || address.address.toLowerCase().includes(wanted)
    || [...address.consumers, ...address.senders].some((place) => place.router.toLowerCase() === wanted);
  const row = (address) => el('tr', null,
    cell(address.address),
    cell(address.distribution),
    cell(perSecond(address.rates, 'deliveries_in'), 'n'),
    cell(perSecond(address.rates, 'deliveries_out'), 'n'),
    cell(amount(address.waiting), 'n'),
    el('td', null, chips(counted(address.senders))),
    el('td', null, address.consumers.length || !address.senders.length ? chips(counted(address.consumers)) : chips(['nobody'], 'warn')));
  // Those of TCP services have a table of their own.
  const tcp = new Set(network.services.map((service) => service.address));
  const own = network.addresses.filter((address) => !tcp.has(address.address) || address.senders.length || address.deliveries_in);
  const rows = own.filter(has).map(row);
  const all = own.length + network.addresses_left_out;
  fill(document.getElementById('addresses'), document.getElementById('addresses-count'), rows, all, wanted ? 'None of them matches.' : 'No program sends or receives yet.');
}

const sum = (ends, key) => ends.reduce((total, end) => total + (end.rates ? end.rates[key] : 0), 0);

export function services(network, wanted) {
  const has = (service) => !wanted || service.address.toLowerCase().includes(wanted)
    || [...service.listeners, ...service.connectors].some((end) => end.router.toLowerCase() === wanted);
  const place = (end) => el('span', { class: `chip ${end.state === 'up' ? '' : 'warn'}`, title: end.state }, `${end.router} ${end.place}${end.state === 'up' ? '' : ' closed'}`);
  const row = (service) => el('tr', null,
    cell(service.address || '(several)'),
    el('td', null, service.listeners.map(place)),
    el('td', null, service.connectors.length ? service.connectors.map(place) : chips(['none'], 'warn')),
    cell(amount(service.listeners.reduce((total, end) => total + end.open, 0)), 'n'),
    cell(rate(sum(service.listeners, 'deliveries_in')), 'n'),
    cell(`${bytes(sum(service.listeners, 'bytes_in'))}/s`, 'n'),
    cell(`${bytes(sum(service.listeners, 'bytes_out'))}/s`, 'n'));
  const rows = network.services.filter(has).map(row);
  const all = network.services.length + network.services_left_out;
  fill(document.getElementById('services'), document.getElementById('services-count'), rows, all, wanted ? 'None of them matches.' : 'There are no TCP listeners and connectors.');
}

export function tiles(network, history) {
  const reachable = network.routers.filter((router) => router.reachable).length;
  const up = network.links.filter((link) => link.state === 'up').length;
  const errors = network.problems.filter((problem) => problem.severity === 'error').length;
  const tile = (title, value, note, kind, values) => el('dl', { class: `tile ${kind ?? ''}` },
    el('dt', null, title), el('dd', null, value, note ? el('small', null, ` ${note}`) : null), values?.length > 4 ? spark(values) : null);
  const last = history.at(-1);
  const missing = network.routers.length - reachable;
  document.getElementById('tiles').replaceChildren(
    tile('Routers', amount(network.routers.length), missing ? `${missing} unreachable` : '', missing ? 'bad' : ''),
    tile('Links', amount(up), up < network.links.length ? `of ${network.links.length}` : '', up < network.links.length ? 'warn' : ''),
    tile('Messages sent', rate(last.deliveries), 'per second', '', history.map((at) => at.deliveries)),
    tile('Between routers', bytes(last.bytes), 'per second', '', history.map((at) => at.bytes)),
    tile('TCP connections', amount(last.tcp), 'open', '', history.map((at) => at.tcp)),
    tile('Problems', amount(network.problems.length), errors ? `${errors} ${errors === 1 ? 'error' : 'errors'}` : '', errors ? 'bad' : network.problems.length ? 'warn' : ''));
}

const facts = (pairs) => el('dl', { class: 'facts' }, pairs.filter(([, value]) => value !== null && value !== '').flatMap(([key, value]) => [el('dt', null, key), el('dd', null, value)]));
const problem = (item) => el('div', { class: `problem ${item.severity}` }, el('b', null, `${item.router}: ${item.about}`), item.text);
const yes = (known) => (known === null ? null : known ? 'yes' : 'no');

/** What stands beside the graph: what is wrong, or what was chosen. */
export function details(network, chosen, pick) {
  const place = document.getElementById('details');
  // Buttons are made anew each time: focus goes to the one in the same place.
  const focus = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const [kind, ...rest] = (chosen ?? '').split(' ');
  const key = rest.join(' ');
  const go = (to, text) => el('button', { type: 'button', class: 'go', 'data-key': to, onclick: () => pick(to) }, text);
  const router = kind === 'router' && network.routers.find((other) => other.id === key);
  const link = kind === 'link' && network.links.find((other) => name(other) === key);
  let content;
  if (router) {
    const links = network.links.filter((other) => other.a === key || other.b === key);
    const here = network.addresses.filter((address) => [...address.consumers, ...address.senders].some((at) => at.router === key));
    const problems = network.problems.filter((item) => item.router === key);
    content = [
      el('header', null, el('b', null, router.id), el('span', { class: 'count' }, router.kind)),
      ...problems.map(problem),
      facts([['Version', router.version], ['Up for', age(router.uptime_seconds)],
        ['Client connections', router.client_connections === null ? null : amount(router.client_connections)],
        ['TCP connections', router.tcp_connections === null ? null : amount(router.tcp_connections)],
        ['From clients', router.rates && `${rate(router.rates.deliveries_in)} msg/s`],
        ['To clients', router.rates && `${rate(router.rates.deliveries_out)} msg/s`]]),
      el('h3', null, `Links (${links.length})`),
      el('ul', { class: 'rows' }, links.map((other) => el('li', null, go(`link ${name(other)}`, other.a === key ? other.b : other.a),
        el('span', null, other.state === 'half' ? 'half' : `cost ${other.cost}`), el('span', null, other.rates ? `${bytes(other.rates.bytes_in + other.rates.bytes_out)}/s` : '')))),
      el('h3', null, `Addresses (${here.length})`),
      el('ul', { class: 'rows' }, here.slice(0, 30).map((address) => {
        const consumes = address.consumers.some((at) => at.router === key);
        const sends = address.senders.some((at) => at.router === key);
        return el('li', null, el('span', null, address.address), el('span', null, [sends && 'sends', consumes && 'receives'].filter(Boolean).join(', ')));
      })),
    ];
  } else if (link) {
    content = [
      el('header', null, el('b', null, `${link.a} – ${link.b}`), el('span', { class: 'count' }, link.role)),
      facts([['State', link.state === 'up' ? 'up' : 'only one end knows of it'], ['Cost', String(link.cost)], ['Connections', link.connections === null ? null : amount(link.connections)], ['TLS', yes(link.tls)]]),
      ...[[link.a, link.b, 'out'], [link.b, link.a, 'in']].flatMap(([from, to, way]) => [
        el('h3', null, `${from} to ${to}`),
        facts([['Bytes', link.rates && `${bytes(link.rates[`bytes_${way}`])}/s`], ['Deliveries', link.rates && `${rate(link.rates[`deliveries_${way}`])} /s`],
          ['Bytes in all', link[`bytes_${way}`] === null ? null : bytes(link[`bytes_${way}`])]])]),
      el('h3', null, 'Routers'),
      el('ul', { class: 'rows' }, [link.a, link.b].map((id) => el('li', null, go(`router ${id}`, id), el('span', null, '')))),
    ];
  } else {
    const { problems } = network;
    content = [el('h2', null, 'What is wrong'),
      ...(problems.length ? problems.slice(0, 50).map(problem) : [el('p', { class: 'ok' }, 'Nothing that the routers know of.')])];
    const sum = (other) => (other.rates ? other.rates.bytes_in + other.rates.bytes_out : 0);
    const busy = network.links.filter((other) => sum(other) >= 1).sort((a, b) => sum(b) - sum(a)).slice(0, 5);
    if (busy.length) {
      content.push(el('h3', null, 'Busiest links'), el('ul', { class: 'rows' }, busy.map((other) => el('li', null,
        go(`link ${name(other)}`, `${other.a} – ${other.b}`), el('span', null, `${bytes(sum(other))}/s`)))));
    }
    const slow = network.addresses.filter((address) => address.waiting).sort((a, b) => b.waiting - a.waiting).slice(0, 5);
    if (slow.length) {
      content.push(el('h3', null, 'Where messages wait'), el('ul', { class: 'rows' }, slow.map((address) => el('li', null,
        el('span', null, address.address), el('span', null, amount(address.waiting))))));
    }
  }
  if (router || link) content.unshift(el('p', { class: 'count' }, go('', '← What is wrong in the network')));
  place.replaceChildren(...content);
  if (focus !== null) [...place.querySelectorAll('[data-key]')].find((button) => button.dataset.key === focus)?.focus();
}

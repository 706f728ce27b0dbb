// The live page: asks for the queries once a second and shows the one that is chosen.

import { COUNTS, Chart, TIMES, el } from './charts.js';

const EVERY_MS = 1000;
const $ = (id) => document.getElementById(id);

// --- words and numbers ---

const digits = (value, least = 0) => value.toLocaleString('en-US', { maximumFractionDigits: least, minimumFractionDigits: 0 });

function three(value) {
  const size = Math.abs(value);
  if (size === 0) return '0';
  return size >= 100 ? digits(Math.round(value)) : String(Number(value.toPrecision(3)));
}

function count(value, short) {
  if (value < (short ? 1e4 : 1e5)) return three(value < 1000 ? value : Math.round(value));
  for (const [unit, size] of [['B', 1e9], ['M', 1e6], ['k', 1e3]]) if (value >= size) return `${three(value / size)} ${unit}`;
  return three(value);
}

const whole = (value) => value < 1e7 ? digits(value) : count(value);

function bytes(value) {
  for (const [unit, size] of [['TB', 1e12], ['GB', 1e9], ['MB', 1e6], ['kB', 1e3]]) if (value >= size) return `${three(value / size)} ${unit}`;
  return `${Math.round(value)} B`;
}

function millis(value, short) {
  return value < 1000 ? `${three(value)} ms` : seconds(value / 1000, short);
}

function seconds(value, short) {
  const sign = value < 0 ? '-' : '';
  const size = Math.abs(value);
  const [minutes, rest] = [Math.floor(size / 60), Math.floor(size % 60)];
  if (size < 10) return `${sign}${Number(size.toPrecision(2))} s`;
  if (size < 120) return `${sign}${Math.round(size)} s`;
  if (size < 7200) return `${sign}${minutes} min${rest && !short ? ` ${rest} s` : ''}`;
  if (size < 172800) return `${sign}${Math.floor(minutes / 60)} h${minutes % 60 && !short ? ` ${minutes % 60} min` : ''}`;
  return `${sign}${three(size / 86400)} d`;
}

function amount(value) {
  if (value === 0) return '0';
  return value < 0.0001 ? value.toFixed(Math.min(20, 2 - Math.floor(Math.log10(value)))) : String(Number(value.toPrecision(3)));
}

const money = (value, currency) => `${amount(value)} ${currency}`;

const when = (iso) => iso.replace('T', ' ').replace(/\.\d+Z$/, ' UTC');
const clock = (iso) => iso.slice(11, 19);

// --- charts ---

const charts = [
  [new Chart('Throughput', 'rows a second', [{ name: 'in', color: 'blue' }, { name: 'out', color: 'orange' }], count, 'no rows yet', COUNTS),
    (history) => [smooth(history.rowsIn), smooth(history.rowsOut)]],
  [new Chart('Latency', '', [{ name: 'p50', color: 'p50' }, { name: 'p95', color: 'p95' }, { name: 'p99', color: 'p99' }], millis, 'no row whose entry is known'),
    (history) => [history.latencyP50Ms, history.latencyP95Ms, history.latencyP99Ms]],
  [new Chart('Lag', 'rows not yet read', [{ name: 'behind', color: 'blue' }], count, 'not known', COUNTS), (history) => [history.lagRecords]],
  [new Chart('Watermark', 'behind the wall clock', [{ name: 'delay', color: 'blue' }], seconds, 'no watermark yet', TIMES),
    (history) => [history.watermarkDelaySeconds.map((value) => value === null ? null : Math.max(0, value))]],
  [new Chart('State', 'rows held', [{ name: 'rows', color: 'blue' }], count, 'no state', COUNTS), (history) => [history.stateRows]],
  [new Chart('Not processed', 'rows a second', [{ name: 'dead letters', color: 'red' }, { name: 'late', color: 'amber' }], count, 'none'),
    (history) => [smooth(history.deadLetters), smooth(history.lateRows)]],
];

/** Average of the last five seconds at each: epochs need not come every second. */
function smooth(values) {
  return values.map((_, index) => {
    const from = Math.max(0, index - 4);
    const part = values.slice(from, index + 1);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

// --- what is shown ---

const STEPS = [
  ['latestOffset', 'look for new rows'], ['walCommit', 'write the plan down'], ['getBatch', 'read and decode'],
  ['execute', 'compute'], ['addBatch', 'write the sinks'], ['commitOffsets', 'note the commit'],
];

function tile(label, value, unit, more, kind) {
  const none = value === null || value === undefined;
  const shown = el('div', 'value', none ? '–' : value, unit && !none ? el('span', '', unit) : null);
  return el('div', `tile ${none ? 'none' : kind ?? ''}`, el('div', 'label', label), shown, el('div', 'more', more || '\u00a0'));
}

function tiles(query, all) {
  const any = query.epochs > 0;
  const waiting = 'no epoch yet';
  const latency = query.latencyMs;
  const lag = any ? query.lagRecords : null;
  const delay = query.watermarkDelaySeconds;
  const { perMillionEvents: each, perHour, currency } = all.cost;
  return [
    tile('Rows in', any ? count(query.rowsInPerSecond) : null, '/s', any ? `${count(query.rowsIn)} in all, ${bytes(query.bytesIn)}` : waiting),
    tile('Rows out', any ? count(query.rowsOutPerSecond) : null, '/s', any ? `${count(query.rowsOut)} in all` : waiting),
    tile('Lag', lag === null ? null : count(lag), lag === 1 ? 'row' : 'rows', !any ? waiting : lag === null ? 'not known' : lag === 0 ? 'nothing waits' : 'not yet read'),
    tile('Latency p99', latency ? millis(latency.p99) : null, '', latency ? `p50 ${millis(latency.p50)}, p95 ${millis(latency.p95)}` : any ? 'no row in the last minute' : waiting),
    tile('Watermark delay', delay === null ? null : seconds(Math.max(0, delay)), '', query.watermark ? `at ${when(query.watermark).replace(' UTC', '')}` : any ? 'none yet' : waiting),
    tile('State', any ? count(query.stateRows) : null, 'rows', any ? `${bytes(query.stateBytes)} of memory` : waiting),
    tile('Dead letters', any ? whole(query.deadLetters) : null, '', any ? `${whole(query.lateRows)} late rows dropped` : waiting, query.deadLetters > 0 ? 'warn' : ''),
    tile('Cost per million', each === undefined ? null : amount(each), currency, each === undefined ? waiting : perHour === undefined ? '\u00a0' : `${money(perHour, currency)} an hour`),
  ];
}

function steps(query) {
  const times = query.stepsMs;
  if (!times) return [el('p', 'quiet', query.epochs ? 'No epoch in the last minute.' : 'No epoch yet.')];
  const all = STEPS.reduce((sum, [key]) => sum + times[key], 0) || 1;
  const bar = el('div', 'bar', ...STEPS.map(([key], index) => {
    const part = el('span', `c-s${index + 1}`);
    part.style.flex = `${times[key] / all}`;
    return part;
  }));
  const rows = STEPS.flatMap(([key, words], index) => [
    el('span', '', el('i', `c-s${index + 1}`), words), el('code', '', key),
    el('span', 'right', millis(times[key])), el('span', 'right soft', `${Math.round(100 * times[key] / all)} %`),
  ]);
  const total = [el('span', '', 'whole epoch'), el('code', '', 'triggerExecution'), el('b', 'right', millis(times.triggerExecution)), el('span', '')];
  return [bar, el('div', 'steps', ...rows, ...total)];
}

function cost(all) {
  const bill = all.cost;
  const head = bill.perMillionEvents === undefined
    ? el('p', 'quiet sum', 'No rows yet.')
    : el('div', 'sum', el('b', '', money(bill.perMillionEvents, bill.currency)), el('span', '', 'per million events'),
      el('span', 'soft', `${money(bill.total, bill.currency)} so far`));
  const rows = bill.lines.map((line) => [
    [el('span', '', line.meter, el('div', 'soft', line.what)), 'wrap'],
    [el('span', '', line.formula, el('div', 'soft', line.pricedBy ?? '')), 'wrap'],
    [line.amount === null ? 'unpriced' : amount(line.amount), 'right'],
  ]);
  const note = `Price book: ${bill.book}${bill.asOf ? `, oldest price of ${bill.asOf}` : ''}. Another one: --price-book FILE.`;
  return [head, el('div', 'scroll', table([['meter'], ['how'], [bill.currency, 'right']], rows)), el('p', 'quiet', note)];
}

function table(head, rows, none) {
  if (rows.length === 0) return el('p', 'quiet', none ?? 'None.');
  const cell = (tag) => (entry) => {
    const [content, kind] = Array.isArray(entry) ? entry : [entry];
    return el(tag, kind ?? '', content);
  };
  return el('table', '', el('thead', '', el('tr', '', ...head.map(cell('th')))), el('tbody', '', ...rows.map((row) => el('tr', '', ...row.map(cell('td'))))));
}

const named = (one, more) => el('span', '', one.table, ' ', el('span', 'soft', more ? `${one.connector}, ${more}` : one.connector));
const right = (content) => [content, 'right'];

function tables(query) {
  const opening = 'Known when the query has been opened.';
  $('sources').replaceChildren(table(['table', right('rows'), right('bytes'), right('lag')], query.sources.map((one) =>
    [named(one), right(whole(one.rows)), right(bytes(one.bytes)), right(one.lagRecords === null ? 'not known' : whole(one.lagRecords))]), opening));
  $('sinks').replaceChildren(table(['table', right('rows'), right('last commit'), right('average')], query.sinks.map((one) =>
    [named(one, one.deadLetters ? 'dead letters' : ''), right(whole(one.rows)), right(one.commitMs === null ? '–' : millis(one.commitMs)), right(one.commitAverageMs === null ? '–' : millis(one.commitAverageMs))]), opening));
  $('operators').replaceChildren(table(['operator', right('rows'), right('memory'), right('changed'), right('removed'), right('late')], query.operators.map((one) =>
    [el('span', '', one.id, ' ', el('span', 'soft', one.kind)), right(whole(one.rows)), right(bytes(one.bytes)), right(whole(one.updated)), right(whole(one.removed)), right(whole(one.late))]),
  query.epochs ? 'This query keeps no state.' : 'No epoch yet.'));
  $('epochs').replaceChildren(table(['epoch', 'began', right('in'), right('out'), right('took'), right('p99')], query.newestEpochs.map((one) =>
    [String(one.epoch), clock(one.timestamp), right(whole(one.rowsIn)), right(whole(one.rowsOut)), right(millis(one.durationMs)), right(one.latencyP99Ms === null ? '–' : millis(one.latencyP99Ms))]),
  'No epoch yet.'));
}

function show(query, all) {
  document.title = `${query.status === 'failed' ? '✖ ' : ''}${query.name} – Tidemill`;
  $('name').textContent = query.name;
  $('badge').className = `badge ${query.status}`;
  $('badge').replaceChildren(el('span', `dot ${query.status}`), query.status);
  const about = [query.trigger && `Trigger: ${query.trigger}`, query.started && `started ${when(query.started)}`, query.epochs && `${whole(query.epochs)} epochs`, query.committed && `last commit ${clock(query.committed)}`];
  if (query.epochRunsSeconds > 2) about.push(`an epoch has been running for ${seconds(query.epochRunsSeconds)}`);
  $('about').textContent = about.filter(Boolean).join(' · ') || 'It is being opened: state is restored, sources and sinks are reached.';
  $('failure').hidden = !query.failure;
  if (query.failure) $('failure').replaceChildren(el('b', '', `The query failed (exit code ${query.failure.exitCode}).`), el('pre', '', query.failure.message));
  $('unready').hidden = !['running', 'stalled'].includes(query.status) || !query.unready;
  $('unready').textContent = query.stall ? `Stalled (${query.stall.reason}) for ${seconds(query.stall.seconds)}: ${query.stall.message}. It goes on by itself.` : query.unready ? `Not ready: ${query.unready}.` : '';
  $('tiles').replaceChildren(...tiles(query, all));
  $('steps').replaceChildren(...steps(query));
  $('cost').replaceChildren(...cost(all));
  tables(query);
  // the last second has not ended
  const ended = Object.fromEntries(Object.entries(query.history).map(([key, values]) => [key, Array.isArray(values) ? values.slice(0, -1) : values]));
  for (const [chart, columns] of charts) chart.update(query.epochs ? columns(ended) : null);
  $('progress-link').href = `/queries/${encodeURIComponent(query.name)}/progress`;
}

// --- which query, and asking ---

let chosen = decodeURIComponent(location.hash.slice(1));
let last = null;

function tabs(all) {
  const names = all.queries.map((query) => query.name);
  if (!names.includes(chosen)) chosen = names[0] ?? '';
  $('tabs').replaceChildren(...(names.length < 2 ? [] : all.queries.map((query) => {
    const button = el('button', '', el('span', `dot ${query.status}`), query.name);
    button.setAttribute('role', 'tab');
    button.setAttribute('aria-selected', String(query.name === chosen));
    button.addEventListener('click', () => { chosen = query.name; location.hash = encodeURIComponent(chosen); ask(); });
    return button;
  })));
}

function processLine(all) {
  const cpu = all.process.cpuSecondsHere;
  let cores = null;
  if (last && cpu !== null && last.cpu !== null) {
    const passed = (Date.parse(all.now) - last.now) / 1000;
    if (passed > 0.5) { cores = (cpu - last.cpu) / passed; last = { now: Date.parse(all.now), cpu, cores }; } else cores = last.cores;
  } else last = { now: Date.parse(all.now), cpu, cores: null };
  const parts = [`up ${seconds(all.uptimeSeconds)}`];
  if (cores !== null) parts.push(`CPU ${Math.round(cores * 100)} %`);
  if (all.process.residentBytes) parts.push(`${bytes(all.process.residentBytes)} of memory`);
  $('process').textContent = parts.join(' · ');
  $('version').textContent = `tidemill ${all.version}`;
}

async function json(path) {
  const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

let asking = false, reachedAt = null;

async function ask() {
  if (asking) return;
  asking = true;
  try {
    const all = await json('/queries');
    tabs(all);
    const query = chosen ? await json(`/queries/${encodeURIComponent(chosen)}`) : null;
    processLine(all);
    $('nothing').hidden = query !== null;
    $('query').hidden = query === null;
    if (query) show(query, all);
    reachedAt = new Date();
    $('lost').hidden = true;
    $('main').classList.remove('stale');
  } catch (error) {
    $('lost').hidden = false;
    $('main').classList.add('stale');
    const since = reachedAt ? ` The figures are those of ${reachedAt.toLocaleTimeString()}.` : '';
    $('lost').textContent = `The process does not answer: it has ended, or it is not reachable from here.${since}`;
    console.warn(error);
  } finally {
    asking = false;
  }
}

$('charts').append(...charts.map(([chart]) => chart.node));
window.addEventListener('hashchange', () => { chosen = decodeURIComponent(location.hash.slice(1)); ask(); });
document.addEventListener('visibilitychange', () => { if (!document.hidden) ask(); });
setInterval(() => { if (!document.hidden) ask(); }, EVERY_MS);
ask();

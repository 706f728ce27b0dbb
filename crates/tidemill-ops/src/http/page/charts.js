// Line charts of the last minutes: one SVG each, drawn anew with every answer.

const SVG = 'http://www.w3.org/2000/svg';
const LEFT = 46, BOTTOM = 18, TOP = 8, RIGHT = 4;

function svg(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

export function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Ends of an axis of seconds: round ones, which halve well. */
export const TIMES = [1, 2, 4, 10, 20, 30, 60, 120, 240, 600, 1200, 1800, 3600, 7200, 14400, 28800, 57600, 86400,
  ...[2, 4, 10, 20, 40, 100, 200, 400, 1000, 2000, 4000, 10000, 20000, 40000].map((days) => days * 86400)];

/** Ends of an axis of whole things. */
export const COUNTS = [2, 4, 10];

/** The first of the given ends, else of 1, 2, 4, 5, 10 times a power of ten, that is not less than `value`. */
function ceiling(value, ends) {
  if (!(value > 0)) return ends?.[0] ?? 1;
  const found = ends?.find((end) => end >= value);
  if (found) return found;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function ago(seconds) {
  if (seconds === 0) return 'now';
  return seconds % 60 === 0 ? `${seconds / 60} min ago` : `${seconds} s ago`;
}

/** A chart that can be given values again and again. */
export class Chart {
  /** `series`: [{name, color}]; `format(value, short)` gives text; `empty` is shown without values; `ends`: see `ceiling`. */
  constructor(title, note, series, format, empty, ends) {
    Object.assign(this, { series, format, empty, ends, columns: [], span: 60, hover: null });
    this.legend = el('div', 'legend');
    this.plot = el('div', 'plot');
    this.plot.setAttribute('role', 'img');
    this.title = title;
    const heading = el('h2', '', title, note ? el('small', '', ` ${note}`) : null);
    this.node = el('article', 'card', el('div', 'chart-head', heading, this.legend), this.plot);
    this.plot.addEventListener('pointermove', (event) => this.point(event));
    this.plot.addEventListener('pointerleave', () => { this.hover = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /** `columns`: for each series its values, one a second, the newest last; null where there is none. Null for all before the first epoch. */
  update(columns) {
    this.waiting = columns === null;
    this.columns = columns ?? [];
    const length = this.columns[0]?.length ?? 0;
    this.span = length <= 60 ? 60 : Math.min(300, Math.ceil(length / 60) * 60);
    this.draw();
  }

  point(event) {
    const box = this.plot.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    this.hover = Math.round((1 - Math.min(1, Math.max(0, share))) * (this.span - 1));
    this.draw();
  }

  value(column, back) {
    return column[column.length - 1 - back] ?? null;
  }

  draw() {
    const { width, height } = this.plot.getBoundingClientRect();
    if (width < LEFT + 20) return;
    const back = this.hover ?? 0;
    const latest = (column) => this.hover === null ? column.findLast((value) => value !== null) ?? null : this.value(column, back);
    const known = this.columns.flat().filter((value) => value !== null);
    const top = ceiling(Math.max(0, ...known), this.ends);
    const x = (ago) => width - RIGHT - (ago / (this.span - 1)) * (width - LEFT - RIGHT);
    const y = (value) => height - BOTTOM - (value / top) * (height - BOTTOM - TOP);
    const picture = svg('svg', { 'aria-hidden': 'true' });
    if (known.length > 0) this.axes(picture, width, height, top, x, y);
    this.series.forEach((one, index) => this.line(picture, one, this.columns[index] ?? [], x, y));
    const parts = [picture];
    if (known.length === 0) parts.push(el('div', 'empty', this.waiting ? 'waiting for the first epoch' : this.empty));
    else if (this.hover !== null) parts.push(this.tip(picture, back, x, height, width));
    this.plot.replaceChildren(...parts);
    const words = this.series.map((one, index) => [one, latest(this.columns[index] ?? [])]);
    this.legend.replaceChildren(...words.map(([one, value]) =>
      el('span', '', el('i', `c-${one.color}`), `${one.name} `, el('b', '', value === null ? '–' : this.format(value)))));
    this.plot.setAttribute('aria-label', `${this.title}: ` + words.map(([one, value]) => `${one.name} ${value === null ? 'not known' : this.format(value)}`).join(', '));
  }

  axes(picture, width, height, top, x, y) {
    for (const value of [0, top / 2, top]) {
      picture.append(svg('line', { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: value ? 'grid' : 'base' }));
      picture.append(svg('text', { x: LEFT - 7, y: y(value) + 4, 'text-anchor': 'end' }, this.format(value, true)));
    }
    const marks = [[this.span, 'start'], [0, 'end']];
    if (width > 300) marks.splice(1, 0, [this.span / 2, 'middle']);
    for (const [seconds, anchor] of marks) {
      picture.append(svg('text', { x: x(Math.min(seconds, this.span - 1)), y: height - 4, 'text-anchor': anchor }, ago(seconds)));
    }
  }

  line(picture, one, column, x, y) {
    let path = '', start = null, last = null;
    const flush = () => {
      if (start === null) return;
      const floor = y(0);
      if (this.series.length === 1) {
        picture.append(svg('path', { class: `area c-${one.color}`, d: `M${x(start)},${floor}L${path.slice(1)}L${x(last)},${floor}Z` }));
      }
      // one value alone is a dot
      picture.append(svg('path', { class: `line c-${one.color}`, d: start === last ? `${path}h.01` : path }));
      path = ''; start = null;
    };
    for (let back = Math.min(column.length, this.span) - 1; back >= 0; back -= 1) {
      const value = this.value(column, back);
      if (value === null) { if (!this.bridges(column, back)) flush(); continue; }
      path += `${start === null ? 'M' : 'L'}${x(back).toFixed(1)},${y(value).toFixed(1)}`;
      start ??= back; last = back;
    }
    flush();
  }

  /** True when a gap is short: epochs need not come every second. */
  bridges(column, back) {
    const from = column.length - 1 - back;
    for (let step = 1; step <= 12; step += 1) if ((column[from + step] ?? null) !== null) return true;
    return false;
  }

  tip(picture, back, x, height, width) {
    picture.append(svg('line', { x1: x(back), x2: x(back), y1: TOP, y2: height - BOTTOM, class: 'cross' }));
    const rows = this.series.map((one, index) => {
      const value = this.value(this.columns[index] ?? [], back);
      return el('div', '', `${one.name} `, el('b', '', value === null ? '–' : this.format(value)));
    });
    const tip = el('div', 'tip', el('div', '', ago(back)), ...rows);
    const right = x(back) > width / 2;
    tip.style[right ? 'right' : 'left'] = `${right ? width - x(back) + 10 : x(back) + 10}px`;
    return tip;
  }
}

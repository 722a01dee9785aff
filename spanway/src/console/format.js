// Numbers and elements.

const scale = (n, base, units) => {
  let at = 0;
  let value = n;
  while (value >= base * 0.9995 && at < units.length - 1) { value /= base; at += 1; }
  const text = value >= 99.5 || (at === 0 && Number.isInteger(value)) ? value.toFixed(0) : value >= 9.95 ? value.toFixed(1) : value.toFixed(2);
  return `${text.includes('.') ? text.replace(/\.?0+$/, '') : text}${units[at]}`;
};

export const amount = (n) => scale(n, 1000, ['', 'k', 'M', 'G']);
export const bytes = (n) => scale(Math.round(n), 1000, [' B', ' kB', ' MB', ' GB', ' TB']);
export const rate = (n) => (n >= 1000 ? amount(n) : String(Math.round(n * 10) / 10));

export function age(seconds) {
  if (seconds === null) return '';
  for (const [unit, length] of [['d', 86400], ['h', 3600], ['min', 60]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${seconds} s`;
}

/** An element with attributes and children. Text is never taken as HTML. */
export function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key === 'onclick') made.addEventListener('click', value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

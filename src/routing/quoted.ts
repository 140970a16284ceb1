// Text from a client as it may stand in an error's detail: short, printable, one line. Pure.

const maxShown = 80

/** In double quotes; what is not printable ASCII is escaped, what is too long is cut. */
export function quoted(text: string): string {
  const shown = text.slice(0, maxShown).replace(/[^\x20-\x7e]|["\\]/g, escaped)
  return text.length > maxShown ? `"${shown}..."` : `"${shown}"`
}

function escaped(char: string): string {
  if (char === '"' || char === '\\') return `\\${char}`
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

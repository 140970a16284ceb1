// What TLS clients are shown, and which of them are let in: read from files at start, and again whenever what they hold
// has changed. They are read rather than watched: a renewal may replace them, swap a link to their folder or keep their
// times, and only what they hold tells.

import { constants, createHash, createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Events } from '../events.ts'

/** An operator hears of an end that is as near as this, or past. */
const warnMs = 14 * 24 * 3600 * 1000

/** PEM files. */
export type TlsFiles = {
  readonly certificate: string
  readonly key: string
  readonly clientCa: string | null
}

type Part = {
  readonly setting: `gateway.tls.${keyof TlsFiles}`
  readonly path: string
  readonly bytes: Buffer
  /** Why it could not be read, as a code. */
  readonly problem: string | null
}
type Parts = { readonly certificate: Part; readonly key: Part; readonly clientCa: Part | null }

export type Certificate = ReturnType<typeof makeCertificate>

/** @param use  takes what a TLS server asks for; open connections keep what they have */
export function makeCertificate({
  files,
  use,
  events,
  wallClock = Date.now,
}: {
  readonly files: TlsFiles
  readonly use: (context: SecureContextOptions) => void
  readonly events: Events
  readonly wallClock?: () => number
}) {
  /** Of what was read last, good or not: a fault is told once. */
  let seen = ''

  function take(parts: Parts): X509Certificate {
    const { context, certificate } = check(parts)
    use(context)
    if (certificate.validToDate.getTime() - wallClock() < warnMs)
      events.emit('tls_ending', describe(certificate))
    return certificate
  }

  return {
    /** @throws Error that names the setting and the file. A certificate that has expired is taken, and told. */
    async load(): Promise<void> {
      const parts = await read(files)
      seen = digest(parts)
      take(parts)
    },

    /** Reads them again. What cannot be used changes nothing. */
    async refresh(): Promise<void> {
      const parts = await read(files)
      if (digest(parts) === seen) return
      seen = digest(parts)
      try {
        events.emit('tls_reloaded', describe(take(parts)))
      } catch (error) {
        events.emit('tls_reload_failed', { detail: (error as Error).message })
      }
    },
  }
}

async function read(files: TlsFiles): Promise<Parts> {
  const part = async (name: keyof TlsFiles, path: string): Promise<Part> => {
    const its = { setting: `gateway.tls.${name}`, path } as const
    return readFile(path).then(
      (bytes) => ({ ...its, bytes, problem: null }),
      (error: unknown) => ({ ...its, bytes: Buffer.alloc(0), problem: codeOf(error) }),
    )
  }
  const [certificate, key, clientCa] = await Promise.all([
    part('certificate', files.certificate),
    part('key', files.key),
    files.clientCa === null ? null : part('clientCa', files.clientCa),
  ])
  return { certificate, key, clientCa }
}

function digest({ certificate, key, clientCa }: Parts): string {
  const hash = createHash('sha256')
  for (const part of [certificate, key, clientCa])
    if (part) hash.update(`${part.problem} ${part.bytes.length} `).update(part.bytes)
  return hash.digest('hex')
}

function check({ certificate, key, clientCa }: Parts) {
  for (const part of [certificate, key, clientCa])
    if (part?.problem) fail(part, `cannot be read (${part.problem})`)
  const shown = readCertificate(certificate)
  if (!shown.checkPrivateKey(readKey(key)))
    fail(key, `is not the key of the certificate in ${certificate.path}`)
  const context: SecureContextOptions = {
    cert: certificate.bytes,
    key: key.bytes,
    ...(clientCa && { ca: readAuthorities(clientCa) }),
    minVersion: 'TLSv1.2',
    // A second handshake on one connection is work for us and none for who asks for it (TLS 1.2; 1.3 knows none).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  }
  try {
    // A weak key, say, or half of a chain.
    createSecureContext(context)
  } catch (cause) {
    fail(certificate, `cannot be used (${codeOf(cause)})`, cause)
  }
  return { context, certificate: shown }
}

function readCertificate(part: Part, bytes: Buffer | string = part.bytes): X509Certificate {
  try {
    return new X509Certificate(bytes)
  } catch (cause) {
    return fail(part, 'holds no certificate in PEM', cause)
  }
}

function readKey(part: Part): KeyObject {
  try {
    return createPrivateKey(part.bytes)
  } catch (cause) {
    return fail(part, 'holds no private key in PEM, or one with a passphrase', cause)
  }
}

/** One by one: OpenSSL passes over what is no certificate, and with none at all nobody would ever be let in. */
function readAuthorities(part: Part): string[] {
  const text = part.bytes.toString('latin1')
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? ['']
  for (const one of found) readCertificate(part, one)
  return found
}

function fail({ setting, path }: Part, what: string, cause?: unknown): never {
  throw new Error(`${setting}: ${path} ${what}`, { cause })
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown'
}

function describe({ subject, validToDate }: X509Certificate) {
  return { subject: subject.replaceAll('\n', ', '), validTo: validToDate.toISOString() }
}

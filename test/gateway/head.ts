import t from 'tap'
import { checkHead, headerValues, keepsConnection, type Head } from '../../src/gateway/head.ts'

type Row = { name: string; head: Partial<Head> }

const get: Head = { method: 'GET', url: 'http://h/', httpVersion: '1.1', rawHeaders: ['Host', 'h'] }
const check = (head: Partial<Head>) => checkHead({ ...get, ...head }, { maxLines: 100 })
const lines = (count: number) => Array.from({ length: count }, (_, i) => [`X-${i}`, 'v']).flat()

t.test('heads that go on', async (t) => {
  const rows: Row[] = [
    { name: 'a plain request', head: {} },
    {
      name: 'HTTP/1.0, as Python says it, without a header',
      head: { method: 'CONNECT', httpVersion: '1.0', rawHeaders: [] },
    },
    { name: 'a body with a length', head: { method: 'POST', rawHeaders: ['Content-Length', '3'] } },
    { name: 'a chunked body', head: { method: 'POST', rawHeaders: ['Transfer-Encoding', ' Chunked '] } },
    { name: 'as many header lines as may be', head: { rawHeaders: lines(100) } },
    {
      name: 'headers named like parts of every object',
      head: { rawHeaders: ['__proto__', 'a', 'constructor', 'b'] },
    },
    {
      name: 'a CONNECT that asks for an upgrade',
      head: { method: 'CONNECT', rawHeaders: ['Upgrade', 'websocket', 'Connection', 'Upgrade'] },
    },
  ]
  for (const { name, head } of rows) t.doesNotThrow(() => check(head), name)
})

t.test('heads that are refused', async (t) => {
  const rows: (Row & { status: number })[] = [
    { name: 'a version of tomorrow', head: { httpVersion: '2.0' }, status: 505 },
    { name: 'no version at all', head: { httpVersion: '0.9' }, status: 400 },
    { name: 'a method of RTSP', head: { method: 'DESCRIBE' }, status: 400 },
    { name: 'no method', head: { method: '' }, status: 400 },
    { name: 'one header line too many', head: { rawHeaders: lines(101) }, status: 431 },
    { name: 'TRACE', head: { method: 'TRACE' }, status: 405 },
    {
      name: 'a CONNECT with a length',
      head: { method: 'CONNECT', rawHeaders: ['content-length', '5'] },
      status: 400,
    },
    {
      name: 'a CONNECT with length 0',
      head: { method: 'CONNECT', rawHeaders: ['Content-Length', '0'] },
      status: 400,
    },
    {
      name: 'a chunked CONNECT',
      head: { method: 'CONNECT', rawHeaders: ['Transfer-Encoding', 'chunked'] },
      status: 400,
    },
    {
      name: 'chunks in HTTP/1.0',
      head: { httpVersion: '1.0', rawHeaders: ['Transfer-Encoding', 'chunked'] },
      status: 400,
    },
    { name: 'two Hosts', head: { rawHeaders: ['Host', 'h', 'host', 'h'] }, status: 400 },
    {
      name: 'two Hosts of a CONNECT',
      head: { method: 'CONNECT', rawHeaders: ['Host', 'h', 'Host', 'other'] },
      status: 400,
    },
    { name: 'gzip, chunked', head: { rawHeaders: ['Transfer-Encoding', 'gzip, chunked'] }, status: 501 },
    {
      name: 'chunked, chunked',
      head: { rawHeaders: ['Transfer-Encoding', 'chunked, chunked'] },
      status: 501,
    },
    { name: 'xchunked', head: { rawHeaders: ['Transfer-Encoding', 'xchunked'] }, status: 501 },
    { name: 'identity', head: { rawHeaders: ['Transfer-Encoding', 'identity'] }, status: 501 },
    { name: 'an empty coding', head: { rawHeaders: ['Transfer-Encoding', ''] }, status: 501 },
    {
      name: 'two codings',
      head: { rawHeaders: ['Transfer-Encoding', 'chunked', 'transfer-encoding', 'chunked'] },
      status: 501,
    },
  ]
  for (const { name, head, status } of rows)
    t.throws(() => check(head), { code: 'bad_request', status }, name)
})

t.test('all values of a header, whatever its case, in order', async (t) => {
  const rawHeaders = ['X-Job-Id', 'a', 'Host', 'h', 'x-job-id', 'b', 'X-JOB-ID', 'a']
  t.same(headerValues({ rawHeaders }, 'x-job-id'), ['a', 'b', 'a'])
  t.same(headerValues({ rawHeaders }, 'x-job-type'), [])
})

t.test('whether the connection serves another request', async (t) => {
  const rows: [kept: boolean, httpVersion: string, connection: readonly string[]][] = [
    [true, '1.1', []],
    [true, '1.1', ['keep-alive']],
    [true, '1.1', ['X-Close, closed']],
    [false, '1.1', ['close']],
    [false, '1.1', ['TE, Close ']],
    [false, '1.1', ['keep-alive', 'CLOSE']],
    [false, '1.0', []],
    [false, '1.0', ['keep-alive']],
  ]
  for (const [kept, httpVersion, connection] of rows) {
    const rawHeaders = connection.flatMap((value) => ['Connection', value])
    t.equal(keepsConnection({ httpVersion, rawHeaders }), kept, `HTTP/${httpVersion} ${connection}`)
  }
})

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { isOwnWant, noSocketLeft, wantOfFiles } from '../../src/gateway/own-want.ts'

t.test('only what we lack ourselves', async (t) => {
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'EADDRNOTAVAIL'])
    t.ok(isOwnWant(Object.assign(new Error(code), { code })), code)
  for (const code of ['ECONNREFUSED', 'ENOENT', 'ETIMEDOUT'])
    t.notOk(isOwnWant(Object.assign(new Error(code), { code })), code)
  t.notOk(isOwnWant(new Error('without a code')))
})

t.test('it is told as what passes', async (t) => {
  const cause = Object.assign(new Error('too many'), { code: 'EMFILE' })
  t.match(noSocketLeft(cause), { code: 'overloaded', status: 503, cause })
})

t.test('a process with files left wants none', async (t) => {
  t.equal(wantOfFiles(), null)
})

t.test('without one left neither the hosts file nor DNS is said to know nothing', async (t) => {
  const program = `
    import { openSync, promises } from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    import { makeDnsLookup } from ${JSON.stringify(import.meta.resolve('../../src/gateway/dns-lookup.ts'))}
    import { wantOfFiles } from ${JSON.stringify(import.meta.resolve('../../src/gateway/own-want.ts'))}
    const make = makeDnsLookup({ family: '4', hostsPath: '/etc/hosts', servers: ['127.0.0.1:9'] })
    const lookup = () => make('a.example', new AbortController().signal).then(() => '', ({ code }) => code)
    // Once, so that whatever node opens for itself is open.
    await lookup()
    const hostsAre = (read) => {
      promises.readFile = read
      syncBuiltinESMExports()
    }
    // A file is there again when DNS is asked: what the hosts file would have said is not known all the same.
    hostsAre(async () => { throw Object.assign(new Error('none left'), { code: 'EMFILE' }) })
    const unread = await lookup()
    // The last file goes when the hosts are read already.
    hostsAre(async () => '')
    try {
      for (;;) openSync('/dev/null')
    } catch {}
    console.log(wantOfFiles().code, unread, await lookup())`
  const limited = ['-c', 'ulimit -n 100; exec "$0" --input-type=module -e "$1"', process.execPath, program]
  const { stdout } = await promisify(execFile)('sh', limited)
  t.equal(stdout, 'EMFILE EMFILE EMFILE\n')
})

import t from 'tap'
import { checkOpenFiles, limitIn, openFilesLimit } from '../../src/gateway/file-limits.ts'

const limits = (soft: string) => `Limit                     Soft Limit           Hard Limit           Units
Max processes             96365                96365                processes
Max open files            ${soft.padEnd(20)} 1048576              files
Max locked memory         67108864             67108864             bytes
`

t.test('the limit of this process is known', async (t) => {
  t.match(openFilesLimit(), Number)
})

t.test('where it stands in what Linux says', async (t) => {
  t.equal(limitIn(limits('1024')), 1024)
  t.equal(limitIn(limits('unlimited')), null)
  t.equal(limitIn('nothing of the kind'), null)
})

t.test('a limit must carry the connections, the tunnels, look-ups, and 200 others', async (t) => {
  const settings = { maxConnections: 60, maxTunnels: 40 }
  checkOpenFiles(360, settings)
  checkOpenFiles(null, settings)
  t.throws(() => checkOpenFiles(359, settings), {
    message: /^[^\n]*may have 359 files open, and needs 360: [^\n]*ulimit -n 360; [^\n]*lower[^\n]*$/,
  })
  const many = { maxConnections: 10_000, maxTunnels: 8000 }
  checkOpenFiles(19_200, many)
  t.throws(() => checkOpenFiles(19_199, many), { message: /needs 19200/ }, 'at most 1,000 look-ups')
})

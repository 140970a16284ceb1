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

t.test('a limit must carry the connections, the tunnels, and 200 others', async (t) => {
  const settings = { maxConnections: 60, maxTunnels: 40 }
  checkOpenFiles(300, settings)
  checkOpenFiles(null, settings)
  t.throws(() => checkOpenFiles(299, settings), {
    message: /^[^\n]*may have 299 files open, and needs 300: [^\n]*ulimit -n 300; [^\n]*lower[^\n]*$/,
  })
})

// Tests need what package.json says under `engines`: a Node that runs TypeScript as it is.

/** Ends the program with what to do where this Node is too old. */
export function refuseOldNode(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 19)) return
  console.error(
    `The tests need Node 22.19 or newer, found ${version} (${process.execPath}).\n` +
      '`npm ci` brings Node 24 on Linux (x64 and arm64), and `npm test` uses it; elsewhere install Node 24.',
  )
  process.exit(1)
}

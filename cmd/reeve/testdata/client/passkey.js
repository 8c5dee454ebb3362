// Does what somebody does who sets up a passkey, with a virtual authenticator, and then signs in by it, and what somebody
// does who has copied it. Prints what came of it as one JSON object. The environment has the URL of the server, and a
// folder for screenshots, if they are wanted.
import { chromium } from 'playwright-core'

const { REEVE_URL, REEVE_SCREENSHOTS } = process.env

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
})
const done = { problems: [] }

const open = async options => {
  const context = await browser.newContext({ viewport: { width: 520, height: 900 }, ...options })
  context.on('weberror', error => done.problems.push(`${error.error()}`))
  context.on('console', message => { if (/Content Security Policy/.test(message.text())) done.problems.push(message.text()) })
  return context.newPage()
}

const shoot = async (page, name) => {
  if (REEVE_SCREENSHOTS) await page.screenshot({ path: `${REEVE_SCREENSHOTS}/factor-${name}.png`, fullPage: true })
}

const signIn = async page => {
  await page.goto(`${REEVE_URL}/account/security`)
  await page.getByLabel('Username').fill('montana')
  await page.getByLabel('Password').fill('so-it-goes-on-1969')
  await shoot(page, '0-sign-in')
  await page.getByRole('button', { name: 'Sign in' }).click()
}

const signOut = page => page.getByRole('button', { name: 'Not you?' }).click()

const page = await open()
const devtools = await page.context().newCDPSession(page)
await devtools.send('WebAuthn.enable')
const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
  options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true }
})

await signIn(page)
await shoot(page, '1-none')
await page.getByRole('button', { name: 'Set up a second factor' }).click()
await shoot(page, '2-set-up')
await page.emulateMedia({ colorScheme: 'dark' })
await shoot(page, '2-set-up-dark')
await page.emulateMedia({ colorScheme: 'light' })
await page.getByLabel('Name').nth(1).fill('This machine')
await page.getByRole('button', { name: 'Add a passkey' }).click()
await page.getByText('I have kept them').waitFor()
await shoot(page, '3-codes')
const codes = await page.locator('.codes code').allInnerTexts()
done.codes = codes.length
await page.getByText('I have kept them').click()
await page.getByText('This machine').waitFor()
await shoot(page, '4-security')

// The same device has it already.
await page.getByRole('button', { name: 'Add another' }).click()
await page.getByRole('button', { name: 'Add a passkey' }).click()
done.again = await page.getByRole('alert').innerText()
await shoot(page, '5-again')
await page.getByText('Back').click()
await signOut(page)

// Signing in by it. What is sent is remembered, to be sent again.
let sent
await signIn(page)
await page.getByRole('button', { name: 'Use a passkey' }).waitFor()
await shoot(page, '6-factor')
page.on('request', request => {
  const form = new URLSearchParams(request.postData() ?? '')
  if (form.get('credential')) sent = form.get('credential')
})
await page.getByRole('button', { name: 'Use a passkey' }).click()
await page.getByText('This machine').waitFor()
done.signedIn = true
await signOut(page)

// The device says no.
await signIn(page)
const { credentials: [kept] } = await devtools.send('WebAuthn.getCredentials', { authenticatorId })
await devtools.send('WebAuthn.removeCredential', { authenticatorId, credentialId: kept.credentialId })
await page.getByRole('button', { name: 'Use a passkey' }).click()
await page.getByText('Your browser gave no passkey').waitFor()
done.cancelled = true

// Somebody sends once more what was sent before.
const replayed = page.waitForResponse(response => response.request().method() === 'POST')
await page.evaluate(credential => {
  const form = document.querySelector('[data-passkey]')
  form.elements.credential.value = credential
  form.submit()
}, sent)
done.replayed = (await replayed).status()
await shoot(page, '7-replayed')

// Somebody has a copy that has signed less often.
await devtools.send('WebAuthn.addCredential', { authenticatorId, credential: { ...kept, signCount: 0 } })
await page.getByRole('button', { name: 'Use a passkey' }).click()
await page.getByText('That is not right').waitFor()
done.copied = true

// Without a script there are recovery codes.
const plain = await open({ javaScriptEnabled: false })
await signIn(plain)
done.withoutScript = !await plain.getByRole('button', { name: 'Use a passkey' }).isVisible()
await plain.getByLabel('recovery code').fill(codes[0])
await plain.getByRole('button', { name: 'Continue' }).click()
await plain.getByText('9 recovery codes').waitFor()
await shoot(plain, '8-recovered')

await browser.close()
console.log(JSON.stringify(done))

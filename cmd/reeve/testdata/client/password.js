// Does what somebody does who was sent a link to set a password: looks at it twice, is refused what is easy to guess, sets
// a password, signs in with it, and finds that the link does not work again. Prints what was seen as one JSON object. The
// environment has the link, and a folder for screenshots, if they are wanted.
import { chromium } from 'playwright-core'

const { REEVE_LINK, REEVE_SCREENSHOTS } = process.env
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
})
const context = await browser.newContext({ viewport: { width: 520, height: 760 }, javaScriptEnabled: false })
const problems = []
context.on('console', message => { if (/Content Security Policy/.test(message.text())) problems.push(message.text()) })
const page = await context.newPage()
const shoot = async name => {
  if (REEVE_SCREENSHOTS) await page.screenshot({ path: `${REEVE_SCREENSHOTS}/password-${name}.png` })
}
const set = async (password, again) => {
  await page.getByLabel('New password').fill(password)
  await page.getByLabel('The same again').fill(again)
  await page.getByRole('button', { name: 'Set password' }).click()
}
const refused = async () => await page.getByRole('alert').isVisible() && await page.getByLabel('New password').inputValue() === ''

const done = {}
await page.goto(REEVE_LINK)
await page.goto(REEVE_LINK)
done.username = await page.getByLabel('Username').inputValue()
await shoot('1-asked')
await set('poo-tee-weet 1969', 'poo-tee-weet 1970')
done.differ = await refused()
await set('WandaJune1', 'WandaJune1')
done.weak = await refused()
await shoot('2-weak')
await page.emulateMedia({ colorScheme: 'dark' })
await shoot('3-dark')
await page.emulateMedia({ colorScheme: 'light' })
await set('poo-tee-weet 1969', 'poo-tee-weet 1969')
done.set = await page.getByRole('heading', { level: 1 }).innerText()
await shoot('4-set')

await page.getByRole('link', { name: 'Sign in' }).click()
const signIn = async password => {
  await page.getByLabel('Username').fill('wanda')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}
await signIn('poo-tee-weet 1970')
done.wrong = await page.getByRole('alert').isVisible()
await signIn('poo-tee-weet 1969')
done.signedIn = await page.getByText('Signed in as wanda').isVisible()
await shoot('5-signed-in')

await page.goto(REEVE_LINK)
done.dead = await page.getByRole('heading', { level: 1 }).innerText()
await shoot('6-dead')

await browser.close()
console.log(JSON.stringify({ ...done, problems }))

// Has the browser make or use a passkey, and sends it with its form. Without this script there is no such form.
for (const form of document.querySelectorAll('form[data-passkey]')) {
  const { passkey, options } = form.dataset
  form.hidden = !window.PublicKeyCredential?.parseRequestOptionsFromJSON
  form.addEventListener('submit', async event => {
    event.preventDefault()
    const problem = form.querySelector('[role=alert]')
    problem.hidden = true
    try {
      const credential = passkey === 'create'
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(options)) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(options)) })
      form.elements.credential.value = JSON.stringify(credential)
      form.submit()
    } catch (error) {
      problem.textContent = error.name === 'InvalidStateError'
        ? 'This device has a passkey of yours already.'
        : 'Your browser gave no passkey. Try again, or go another way.'
      problem.hidden = false
    }
  })
}

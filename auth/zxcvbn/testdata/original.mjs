// Writes ../words.txt, the dictionaries of zxcvbn 4.4.2, and original.json, what it says of some passwords:
//   npm install zxcvbn@4.4.2 && node original.mjs
// Copyright (c) 2012-2016 Dan Wheeler and Dropbox, Inc., MIT license.
import { writeFileSync } from 'node:fs'
import zxcvbn from 'zxcvbn'
import lists from 'zxcvbn/lib/frequency_lists.js'

const kinds = { passwords: 'p', english_wikipedia: 'e', us_tv_and_film: 'e', female_names: 'n', male_names: 'n', surnames: 'n' }
const lines = Object.entries(lists).flatMap(([name, words]) => words.map((word, i) => `${word} ${i + 1}${kinds[name]}\n`))
writeFileSync('../words.txt', lines.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).join(''))

// Passwords as people make them, of everything that there is a pattern for, by a generator that always makes the same.
let seed = 1969
const random = n => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor(seed / 65536) % n }
const pick = list => list[random(list.length)]
const year = new Date().getFullYear() // dates are counted from here; see referenceYear
const alike = { a: '4@', c: '({[<', e: '3', g: '69', i: '1!|', l: '1|7', o: '0', s: '$5', t: '+7', x: '%', z: '2', b: '8' }
const word = () => pick(lists[pick(Object.keys(lists))])
const parts = [
  word, word,
  () => word().replace(/^./, c => c.toUpperCase()),
  () => word().toUpperCase(),
  () => [...word()].map(c => random(2) ? c : c.toUpperCase()).join(''),
  () => [...word()].reverse().join(''),
  () => [...word()].map(c => alike[c] && random(2) ? pick(alike[c]) : c).join(''),
  () => pick(['qwertyuiop', 'asdfg', 'zxcvbn', '1qaz2wsx', 'QwErTy', '!@#$%^', 'aoeuidhtns', 'poiuy', '789456123', 'mnbvcxz;lk', "'\\][/.,"]).slice(0, 3 + random(8)),
  () => pick(['abcdef', '98765', '13579', 'zyxwv', 'ACEG', 'fedcba', 'éèçà', 'αβγδ', '2468']),
  () => pick(['a', 'xy', '123', 'hello', '!', 'aab']).repeat(2 + random(4)),
  () => `${1890 + random(140)}`,
  () => `${1 + random(31)}${pick(['', '.', '/', '-', ' ', '_'])}${1 + random(12)}${pick(['', '.', '/', '-', ' '])}${pick([`${1940 + random(100)}`, `${10 + random(89)}`])}`,
  () => pick([' ', '-', '_', '', '', '!', '?', '#', 'ü', '💣']),
  () => Array.from({ length: 1 + random(6) }, () => String.fromCharCode(33 + random(94))).join('')
]
const given = ['kilgore', 'trout', 'tralfamadore', 'billy-pilgrim']
const fixed = ['', 'a', 'password', 'correct horse battery staple', 'so-it-goes-1969', 'My$tr0ngP4$$w0rd', 'Xk4mz9qw', 'harborLantern2026',
  'kilgoretrout', 'K1lg0re-Tr0ut', 'tuort', 'billy-pilgrim1', 'a'.repeat(100), '4@8({[<3691!|7$5+0%2', 'D0g..................', 'abcabcabcabc']
const passwords = [...fixed, ...Array.from({ length: 700 }, () => Array.from({ length: 1 + random(4) }, () => pick(parts)()).join(''))]
// The original counts in UTF-16, so it is not asked about what takes two of that.
const answers = passwords.filter(p => !/[^\0-\uffff]/u.test(p)).map(p => {
  const { guesses, score, sequence } = zxcvbn(p, given)
  return { password: p, guesses, score, parts: sequence.length }
})
writeFileSync('original.json', JSON.stringify({ year, given, answers }, null, 1) + '\n')

/**
 * The end of `npm run build`: makes dist/main.js executable (the compiler does not), and lets
 * `npx gatelog` find the command. `npm ci` runs this too (`prepare`), before there is a build: then the
 * command says what to do.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { BUILD_STAMP, ROOT } from './prepare.mjs';

const bin = join(ROOT, 'node_modules', '.bin');
mkdirSync(bin, { recursive: true });
rmSync(join(bin, 'gatelog'), { force: true });
symlinkSync('../../deploy/gatelog', join(bin, 'gatelog'));

/** The status page's files beside its scripts, and the charts' library: a device builds nothing. */
async function finishPage() {
  const scripts = join(ROOT, '.cache', 'page', 'page');
  const page = join(ROOT, 'dist', 'page');
  const sources = join(ROOT, 'src', 'page');
  const plot = join(ROOT, 'node_modules', 'uplot', 'dist');
  // As after a pull over an older build, which had no page: the next build makes it.
  if (!existsSync(scripts)) return;
  rmSync(page, { recursive: true, force: true });
  mkdirSync(page, { recursive: true });
  const copy = (from, name, as = name) => copyFileSync(join(from, name), join(page, as));
  await writeSmall(scripts, page);
  for (const name of readdirSync(sources)) if (!name.endsWith('.ts')) copy(sources, name);
  preloadModules(page);
  copy(plot, 'uPlot.iife.min.js', 'uPlot.js');
  copy(plot, 'uPlot.min.css', 'uPlot.css');
}

/** Scripts without what only their readers want: all of the page is to be at most 100 KB, packed or not. */
async function writeSmall(scripts, page) {
  const { minifySync } = await import('rolldown/utils');
  for (const name of readdirSync(scripts)) {
    const { code, errors } = minifySync(name, readFileSync(join(scripts, name), 'utf8'), {
      module: true,
    });
    if (errors.length > 0) throw new Error(`${name}: ${errors[0].message}`);
    writeFileSync(join(page, name), code);
  }
}

/**
 * The document names all modules, so that a browser asks for them at once and not, round trip after round trip, as it
 * finds what imports what.
 */
function preloadModules(page) {
  const document = join(page, 'index.html');
  const begin = '<script src="main.js" type="module">';
  const [before, after] = readFileSync(document, 'utf8').split(begin);
  const links = readdirSync(page)
    .filter((name) => name.endsWith('.js') && name !== 'main.js')
    // Nothing is left of a module of types.
    .filter((name) => !/^(?:export ?\{\};?)?$/u.test(readFileSync(join(page, name), 'utf8').trim()))
    .toSorted()
    .map((name) => `<link rel="modulepreload" href="${name}" />\n    `);
  writeFileSync(document, `${before}${links.join('')}${begin}${after}`);
}

const main = join(ROOT, 'dist', 'main.js');
if (existsSync(main)) {
  chmodSync(main, 0o755);
  await finishPage();
  writeFileSync(BUILD_STAMP, '');
}

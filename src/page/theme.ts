import { part, setText } from './dom.ts';

const KEPT = 'gatelog-theme';
const NEXT = { auto: 'light', light: 'dark', dark: 'auto' } as const;
type Theme = keyof typeof NEXT;

/** As the system has it, or as this browser was told. */
export function startTheme(changed: () => void): void {
  const button = part('theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  const show = (theme: Theme): void => {
    const ofSystem = system.matches ? 'dark' : 'light';
    document.documentElement.dataset['theme'] = theme === 'auto' ? ofSystem : theme;
    setText(button, `Theme: ${theme}`);
  };
  let now = kept();
  show(now);
  button.addEventListener('click', () => {
    now = NEXT[now];
    localStorage.setItem(KEPT, now);
    show(now);
    changed();
  });
  system.addEventListener('change', () => {
    show(now);
    changed();
  });
}

function kept(): Theme {
  const found = localStorage.getItem(KEPT);
  return found === 'light' || found === 'dark' ? found : 'auto';
}

import { ControlClient } from '../admin/control-client.ts';
import type { AgentStatus } from '../admin/status.ts';
import { GatelogError } from '../errors.ts';
import { gapJson, type GapJson, type LossTotals } from '../loss.ts';
import { lookAtFolder, lookAtState, type FolderLook, type StateLook } from '../store/look.ts';
import { requireFolder } from './folder.ts';
import { gathered } from './ledger.ts';

/** Everything that the sections of `gatelog doctor` judge by. */
export interface DoctorFacts {
  readonly data: string;
  readonly look: FolderLook;
  /** undefined: no agent runs on the folder. */
  readonly agent: AgentStatus | undefined;
  /** Of a folder whose agent is stopped, or serves without its log. */
  readonly state: StateLook | undefined;
  readonly losses: LossTotals | undefined;
  /** What the disk lost, as the loss ledger has it. */
  readonly corruption: readonly GapJson[];
}

/** Reads only. Throws NOT_FOUND when there is no such folder. */
export async function gatherFacts(data: string): Promise<DoctorFacts> {
  const control = new ControlClient(data);
  const agent = await statusOf(control);
  if (agent === undefined) await requireFolder(data);
  const look = await lookAtFolder(data);
  if (agent !== undefined && agent.store !== null) {
    const corruption = await gathered(control.gaps(), ({ reason }) => reason === 'corruption');
    const { losses } = agent.store;
    return { data, look, agent, state: undefined, losses, corruption };
  }
  // An agent without its log holds nothing of the folder; its disk may not be there.
  const isEmpty = agent !== undefined && look.stateBytes === 0;
  if (isEmpty) return { data, look, agent, state: undefined, losses: undefined, corruption: [] };
  const state = await lookAtState(data, look);
  const corruption = state.corruption.map(gapJson);
  return { data, look, agent, state, losses: state.losses, corruption };
}

async function statusOf(control: ControlClient): Promise<AgentStatus | undefined> {
  try {
    return await control.status();
  } catch (error) {
    if (error instanceof GatelogError && error.code === 'AGENT_NOT_RUNNING') return undefined;
    throw error;
  }
}

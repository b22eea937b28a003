/** What the tests are told in the file that `E2E_CLUSTER` names. */
export interface ClusterFacts {
  readonly kubeconfig: string;
  readonly kubectl: string;
  readonly helm: string;
  /** Bootstrap servers, as pods reach them. */
  readonly kafka: string;
  /** In front of the chart's repositories; empty where the images are on the node already. */
  readonly registry: string;
  /** An image in which `node` can be run, for pods of the tests. */
  readonly nodeImage: string;
  /** Folder of the programs of Knative's conformance tests, whose images are on the node; empty where they are not. */
  readonly conformance: string;
  /** Unix socket of node-control.ts; empty where the node is not of this machine. */
  readonly control: string;
  /** Where to put what the cluster held when a test failed. */
  readonly failures: string;
  /** Of the node's programs, to be put beside it. */
  readonly logs: readonly string[];
  /** Fewer events, and the like only once. */
  readonly isShort: boolean;
}

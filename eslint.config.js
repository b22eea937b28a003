import tseslint from 'typescript-eslint';

const services = ['channel-receiver', 'dispatcher', 'controller'];

/** Borders between packages and folders; docs/adr/0002 says why. Later entries replace earlier ones for the same file. */
function imports(...patterns) {
  return { rules: { 'no-restricted-imports': ['error', { patterns }] } };
}
const noDeepImports = {
  regex: '^@knative-kafka/(?!common/(core|io)$)[^/]+/',
  message: 'import a package by its door: @knative-kafka/<name>, or @knative-kafka/common/core and /io',
};
const noServices = {
  regex: `^@knative-kafka/(${services.join('|')})(/|$)`,
  message: 'services meet in Kubernetes resources and Kafka topics; shared code lives in @knative-kafka/common',
};
const coreIsPure = {
  regex: '^(node:(?!crypto$)|@knative-kafka/common/io|\\.\\./io/|\\.\\./\\.\\./io/|express|kafkajs|undici|winston|prom-client|@platformatic/)',
  message: 'core decides and touches nothing: no clock, network, Kafka or Kubernetes (types and pure functions of core only)',
};
/** Reading certificates and keys is a pure function; most of the module (random numbers, for one) is not. */
const coreReadsCertificates = {
  regex: '^node:crypto$',
  allowImportNames: ['createPrivateKey', 'X509Certificate', 'KeyObject'],
  message: coreIsPure.message,
};

export default tseslint.config(
  { ignores: ['**/bundle/**', '**/reports/**', '**/node_modules/**', '**/*.generated.ts', '.nx/**', '.local/**'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/prefer-nullish-coalescing': 'off',
      '@typescript-eslint/unified-signatures': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off', // misreads winston's transports
    },
  },
  {
    files: ['**/*.test.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off', // expect's matchers are of type any
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  { files: ['**/*.ts'], ...imports(noDeepImports) },
  { files: ['packages/*/src/**/*.ts'], ignores: ['packages/standalone/**'], ...imports(noDeepImports, noServices) },
  { files: ['packages/*/src/core/**/*.ts'], ignores: ['**/*.test.ts'], ...imports(noDeepImports, noServices, coreIsPure, coreReadsCertificates) },
);

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Long enough for any data folder, and well within what TLS clients accept of a private authority.
const validity = 10 * 365 * 24 * time.Hour

// What the caller wants issued: one entry of the JSON array on stdin.
type certificateRequest struct {
	// The files are NAME.crt and NAME.key.
	Name string `json:"name"`
	// For Kubernetes the user.
	CommonName string `json:"commonName"`
	// For Kubernetes the groups.
	Organizations []string `json:"organizations"`
	DNSNames      []string `json:"dnsNames"`
	IPAddresses   []net.IP `json:"ipAddresses"`
}

// Writes into the folder of the only argument: a certificate authority (ca.crt, ca.key), the certificates that stdin
// asks for, each good for servers and clients alike, and the key pair that signs service account tokens
// (service-account.key, service-account.pub). The authority and that key pair stay when they are there already, so a
// later call can add certificates that the earlier ones trust.
func runCertificates() int {
	if err := writeCertificates(); err != nil {
		fmt.Fprintln(os.Stderr, "certificates:", err)
		return 1
	}
	return 0
}

func writeCertificates() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: certificates FOLDER < requests.json")
	}
	folder := os.Args[1]
	var requests []certificateRequest
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		return fmt.Errorf("stdin is not a JSON array of certificates to issue: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	authority, authorityKey, err := ensureAuthority(folder)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if err := issue(folder, request, authority, authorityKey); err != nil {
			return fmt.Errorf("%s: %w", request.Name, err)
		}
	}
	return ensureServiceAccountKeys(folder)
}

func ensureAuthority(folder string) (*x509.Certificate, crypto.Signer, error) {
	certificateFile, keyFile := filepath.Join(folder, "ca.crt"), filepath.Join(folder, "ca.key")
	certificate, err := readPEM(certificateFile)
	if err == nil {
		keyBytes, err := readPEM(keyFile)
		if err != nil {
			return nil, nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(keyBytes)
		if err != nil {
			return nil, nil, err
		}
		parsed, err := x509.ParseCertificate(certificate)
		return parsed, key.(crypto.Signer), err
	}
	if !os.IsNotExist(err) {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: "local-cluster"})
	if err != nil {
		return nil, nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	if err := writeKey(keyFile, key); err != nil { // the key first: a certificate alone would pass for an authority
		return nil, nil, err
	}
	if err := writePEM(certificateFile, "CERTIFICATE", der); err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	return parsed, key, err
}

func issue(folder string, request certificateRequest, authority *x509.Certificate, authorityKey crypto.Signer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := newTemplate(pkix.Name{CommonName: request.CommonName, Organization: request.Organizations})
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = request.DNSNames
	template.IPAddresses = request.IPAddresses
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey)
	if err != nil {
		return err
	}
	if err := writeKey(filepath.Join(folder, request.Name+".key"), key); err != nil {
		return err
	}
	return writePEM(filepath.Join(folder, request.Name+".crt"), "CERTIFICATE", der)
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	// An hour back, for clocks that differ between a machine and what runs in it.
	now := time.Now().Add(-time.Hour)
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: now, NotAfter: now.Add(validity)}, nil
}

func ensureServiceAccountKeys(folder string) error {
	publicFile := filepath.Join(folder, "service-account.pub")
	if _, err := os.Stat(publicFile); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := writeKey(filepath.Join(folder, "service-account.key"), key); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writePEM(publicFile, "PUBLIC KEY", der)
}

func writeKey(file string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(file, "PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	return block.Bytes, nil
}

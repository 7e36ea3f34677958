// What a control plane on 127.0.0.1 proves itself with: certificates and keys, made anew for each plane. Knows no token
// and no address but the loopback one. Every private key is readable by its owner only.

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is long enough for any test and any clock that is a little wrong.
const lifetime = 10 * 365 * 24 * time.Hour

// authority can sign certificates.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// writeCertificates fills the folder pki and returns the certificate (PEM) that a client has to trust.
//
//	ca.crt                              signs server.crt; also accepted for client certificates
//	server.crt, server.key              what kube-apiserver serves on 127.0.0.1
//	front-proxy-ca.crt,
//	front-proxy-client.{crt,key}        how kube-apiserver introduces itself to an aggregated API
//	sa.key, sa.pub                      sign and verify service account tokens
func writeCertificates(pki string) ([]byte, error) {
	ca, err := writeAuthority(pki, "ca", "loopback")
	if err != nil {
		return nil, err
	}
	err = ca.issue(pki, "server", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, err
	}
	frontProxy, err := writeAuthority(pki, "front-proxy-ca", "loopback-front-proxy")
	if err != nil {
		return nil, err
	}
	err = frontProxy.issue(pki, "front-proxy-client", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "front-proxy-client"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	if err := writeServiceAccountKey(pki); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(pki, "ca.crt"))
}

func writeAuthority(pki, name, commonName string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	self := &authority{certificate: template, key: key}
	raw, err := self.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	if self.certificate, err = x509.ParseCertificate(raw); err != nil {
		return nil, err
	}
	return self, writePEM(filepath.Join(pki, name+".crt"), "CERTIFICATE", raw, 0o644)
}

// issue writes NAME.crt and NAME.key, signed by the authority.
func (a *authority) issue(pki, name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	raw, err := a.sign(template, key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(pki, name+".crt"), "CERTIFICATE", raw, 0o644); err != nil {
		return err
	}
	return writeKey(filepath.Join(pki, name+".key"), key)
}

func (a *authority) sign(template *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-24 * time.Hour)
	template.NotAfter = time.Now().Add(lifetime)
	return x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
}

func writeServiceAccountKey(pki string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(pki, "sa.pub"), "PUBLIC KEY", public, 0o644); err != nil {
		return err
	}
	return writeKey(filepath.Join(pki, "sa.key"), key)
}

func writeKey(path string, key crypto.Signer) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", raw, 0o600)
}

func writePEM(path, kind string, raw []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), mode)
}

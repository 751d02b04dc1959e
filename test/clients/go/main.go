// Microsoft's own libraries for Go against the service: `main URL NAME`, with the settings of client.env.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// credential is a certificate where CERTIFICATE_FILE names one, else the client secret.
func credential() (azcore.TokenCredential, error) {
	tenant, client := os.Getenv("AZURE_TENANT_ID"), os.Getenv("AZURE_CLIENT_ID")
	file := os.Getenv("CERTIFICATE_FILE")
	if file == "" {
		return azidentity.NewClientSecretCredential(tenant, client, os.Getenv("AZURE_CLIENT_SECRET"), nil)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	certificates, key, err := azidentity.ParseCertificates(pem, nil)
	if err != nil {
		return nil, err
	}
	return azidentity.NewClientCertificateCredential(tenant, client, certificates, key, nil)
}

func run(ctx context.Context, url, name string) error {
	signedIn, err := credential()
	if err != nil {
		return err
	}
	keys, err := azkeys.NewClient(url, signedIn, nil)
	if err != nil {
		return err
	}
	if err := create(ctx, keys, name); err != nil {
		return err
	}
	if err := wrap(ctx, keys, name+"-rsa", azkeys.EncryptionAlgorithmRSAOAEP256); err != nil {
		return err
	}
	if err := wrap(ctx, keys, name+"-oct", azkeys.EncryptionAlgorithmA256KW); err != nil {
		return err
	}
	return sign(ctx, keys, name+"-ec")
}

func create(ctx context.Context, keys *azkeys.Client, name string) error {
	for _, wanted := range []struct {
		suffix     string
		parameters azkeys.CreateKeyParameters
	}{
		{"-rsa", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSAHSM), KeySize: to.Ptr(int32(2048))}},
		{"-oct", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeOctHSM), KeySize: to.Ptr(int32(256))}},
		{"-ec", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeECHSM), Curve: to.Ptr(azkeys.CurveNameP256)}},
	} {
		made, err := keys.CreateKey(ctx, name+wanted.suffix, wanted.parameters, nil)
		if err != nil {
			return err
		}
		if made.Key.KID.Name() != name+wanted.suffix {
			return errors.New("the key has another name")
		}
		fmt.Println("created", *made.Key.Kty)
	}
	return nil
}

func wrap(ctx context.Context, keys *azkeys.Client, name string, algorithm azkeys.EncryptionAlgorithm) error {
	value := bytes.Repeat([]byte{7}, 32)
	wrapped, err := keys.WrapKey(ctx, name, "", azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: value}, nil)
	if err != nil {
		return err
	}
	parameters := azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: wrapped.Result}
	unwrapped, err := keys.UnwrapKey(ctx, name, wrapped.KID.Version(), parameters, nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(unwrapped.Result, value) {
		return errors.New("what was unwrapped is something else")
	}
	fmt.Println("wrapped and unwrapped by", algorithm)
	return nil
}

func sign(ctx context.Context, keys *azkeys.Client, name string) error {
	digest := sha256.Sum256([]byte("what is signed"))
	algorithm := to.Ptr(azkeys.SignatureAlgorithmES256)
	signed, err := keys.Sign(ctx, name, "", azkeys.SignParameters{Algorithm: algorithm, Value: digest[:]}, nil)
	if err != nil {
		return err
	}
	parameters := azkeys.VerifyParameters{Algorithm: algorithm, Digest: digest[:], Signature: signed.Result}
	verified, err := keys.Verify(ctx, name, signed.KID.Version(), parameters, nil)
	if err != nil {
		return err
	}
	if !*verified.Value {
		return errors.New("the signature does not verify")
	}
	fmt.Println("signed and verified by", *algorithm)
	return nil
}
